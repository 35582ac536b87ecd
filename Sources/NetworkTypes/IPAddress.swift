/// An IPv4 or IPv6 address as a value: no pointers, no allocation, comparable in a few instructions.
///
/// The bits are kept as one 128-bit number in two words, most significant first; an IPv4 address is the low
/// 32 bits of `low` with `high` zero. The family is part of the value, so `127.0.0.1` and `::7f00:1` differ.
public struct IPAddress: Hashable, Sendable, BitwiseCopyable {
  /// The address family, with the code points of RFC 8489 section 14.1.
  public enum Family: UInt8, Hashable, Sendable, BitwiseCopyable {
    case ipv4 = 1
    case ipv6 = 2

    /// The number of bits in an address of this family.
    @inlinable public var bitCount: Int { self == .ipv4 ? 32 : 128 }

    /// The number of bytes in an address of this family.
    @inlinable public var byteCount: Int { self == .ipv4 ? 4 : 16 }
  }

  public let high: UInt64
  public let low: UInt64
  public let family: Family

  @inlinable
  public init(ipv4 bits: UInt32) {
    high = 0
    low = UInt64(bits)
    family = .ipv4
  }

  @inlinable
  public init(ipv6High high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
    family = .ipv6
  }

  /// The IPv4 address written `a.b.c.d`.
  public init(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
    self.init(ipv4: UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d))
  }

  /// The 32 bits of an IPv4 address; the low 32 bits of an IPv6 one.
  @inlinable public var ipv4Bits: UInt32 { UInt32(truncatingIfNeeded: low) }

  public static let ipv4Any = IPAddress(ipv4: 0)
  public static let ipv6Any = IPAddress(ipv6High: 0, low: 0)
  public static let ipv4Loopback = IPAddress(127, 0, 0, 1)
  public static let ipv6Loopback = IPAddress(ipv6High: 0, low: 1)

  /// Whether this is `0.0.0.0` or `::`, the address of a socket on all addresses.
  @inlinable public var isUnspecified: Bool { high == 0 && low == 0 }

  /// Whether this is in 127.0.0.0/8 or is `::1`.
  public var isLoopback: Bool {
    switch family {
    case .ipv4: low >> 24 == 127
    case .ipv6: high == 0 && low == 1
    }
  }

  /// The IPv4 address embedded in an IPv6 address, if any: IPv4-mapped (`::ffff:0:0/96`), IPv4-compatible (`::/96`
  /// except `::` and `::1`), IPv4-translated (`::ffff:0:0:0/96`, RFC 2765) and the well-known NAT64 prefix
  /// (`64:ff9b::/96`, RFC 6052).
  public var embeddedIPv4: IPAddress? {
    guard family == .ipv6 else { return nil }
    let inner = IPAddress(ipv4: ipv4Bits)
    let upper = low >> 32
    if high == 0 {
      if upper == 0xFFFF { return inner }
      if upper == 0xFFFF_0000 { return inner }
      if upper == 0, low > 1 { return inner }
    }
    if high == 0x0064_FF9B_0000_0000, upper == 0 { return inner }
    return nil
  }

  /// The IPv4 address in an ISATAP interface identifier, `::5efe:a.b.c.d` or `::200:5efe:a.b.c.d` under any prefix: a
  /// router of the prefix forwards packets for such an address to the IPv4 address (RFC 5214 section 6.1).
  public var isatapIPv4: IPAddress? {
    guard family == .ipv6, low >> 32 == 0x0000_5EFE || low >> 32 == 0x0200_5EFE else { return nil }
    return IPAddress(ipv4: ipv4Bits)
  }

  /// The form that address rules judge: the embedded IPv4 address if there is one, else the address itself. It is for
  /// rules only: packets are never sent to this form instead of the client's.
  public var canonical: IPAddress { embeddedIPv4 ?? self }

  /// The address that limits count: the IPv4 address, or the IPv6 /64, because one host can use every address of its
  /// /64.
  public var accountable: IPAddress { family == .ipv6 ? masked(to: 64) : self }

  /// The first `prefixLength` bits, the rest zero.
  public func masked(to prefixLength: Int) -> IPAddress {
    switch family {
    case .ipv4:
      let length = min(max(prefixLength, 0), 32)
      let mask: UInt32 = length == 0 ? 0 : ~UInt32(0) << UInt32(32 - length)
      return IPAddress(ipv4: ipv4Bits & mask)
    case .ipv6:
      let length = min(max(prefixLength, 0), 128)
      let highMask: UInt64 = length == 0 ? 0 : length >= 64 ? ~0 : ~0 << UInt64(64 - length)
      let lowMask: UInt64 = length <= 64 ? 0 : ~0 << UInt64(128 - length)
      return IPAddress(ipv6High: high & highMask, low: low & lowMask)
    }
  }
}

extension IPAddress: Comparable {
  /// IPv4 before IPv6, then numerically.
  public static func < (a: IPAddress, b: IPAddress) -> Bool {
    (a.family.rawValue, a.high, a.low) < (b.family.rawValue, b.high, b.low)
  }
}

// MARK: - Text

extension IPAddress: CustomStringConvertible {
  /// Reads dotted-quad IPv4 or RFC 4291 IPv6 text (with `::` and an embedded dotted quad, without brackets, zone or
  /// prefix). Nil for anything else; leading zeros in a dotted quad are refused because readers disagree on them.
  public init?(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    if bytes.contains(UInt8(ascii: ":")) {
      guard let words = Self.parseIPv6(bytes) else { return nil }
      self.init(ipv6High: words.0, low: words.1)
    } else {
      guard let bits = Self.parseIPv4(bytes[...]) else { return nil }
      self.init(ipv4: bits)
    }
  }

  private static func parseIPv4(_ bytes: ArraySlice<UInt8>) -> UInt32? {
    let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var bits: UInt32 = 0
    for part in parts {
      guard (1...3).contains(part.count), part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
      var value: UInt32 = 0
      for byte in part {
        guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) else { return nil }
        value = value * 10 + UInt32(byte - UInt8(ascii: "0"))
      }
      guard value <= 255 else { return nil }
      bits = bits << 8 | value
    }
    return bits
  }

  private static func parseIPv6(_ bytes: [UInt8]) -> (UInt64, UInt64)? {
    var groups: [UInt16] = []
    var gap: Int?
    var index = 0
    if bytes.starts(with: [UInt8(ascii: ":"), UInt8(ascii: ":")]) {
      gap = 0
      index = 2
    }
    while index < bytes.count {
      guard groups.count < 8 else { return nil }
      let end = bytes[index...].firstIndex(of: UInt8(ascii: ":")) ?? bytes.count
      let piece = bytes[index..<end]
      if piece.contains(UInt8(ascii: ".")) {
        guard end == bytes.count, groups.count <= 6, let bits = parseIPv4(piece) else { return nil }
        groups.append(UInt16(truncatingIfNeeded: bits >> 16))
        groups.append(UInt16(truncatingIfNeeded: bits))
        index = end
        break
      }
      guard let group = parseGroup(piece) else { return nil }
      groups.append(group)
      index = end
      guard index < bytes.count else { break }
      index += 1
      guard index < bytes.count else { return nil }
      if bytes[index] == UInt8(ascii: ":") {
        guard gap == nil else { return nil }
        gap = groups.count
        index += 1
      }
    }
    return combine(groups, gap: gap)
  }

  /// One to four hexadecimal digits.
  private static func parseGroup(_ piece: ArraySlice<UInt8>) -> UInt16? {
    guard (1...4).contains(piece.count), let text = String(validating: piece, as: UTF8.self),
      piece.first != UInt8(ascii: "+"), piece.first != UInt8(ascii: "-")
    else { return nil }
    return UInt16(text, radix: 16)
  }

  /// Combines eight groups, or fewer with a gap for at least one group of zeros, into an address.
  private static func combine(_ written: [UInt16], gap: Int?) -> (UInt64, UInt64)? {
    var groups = written
    if let gap {
      guard groups.count < 8 else { return nil }
      groups.insert(contentsOf: Array(repeating: 0, count: 8 - groups.count), at: gap)
    }
    guard groups.count == 8 else { return nil }
    let words = groups.map { UInt64($0) }
    return (
      words[0] << 48 | words[1] << 32 | words[2] << 16 | words[3],
      words[4] << 48 | words[5] << 32 | words[6] << 16 | words[7]
    )
  }

  /// RFC 5952 text: lower case, the longest run of zero groups shortened, IPv4-mapped with a dotted quad.
  public var description: String {
    switch family {
    case .ipv4:
      let bits = ipv4Bits
      return "\(bits >> 24).\(bits >> 16 & 0xFF).\(bits >> 8 & 0xFF).\(bits & 0xFF)"
    case .ipv6:
      if high == 0, low >> 32 == 0xFFFF { return "::ffff:\(IPAddress(ipv4: ipv4Bits))" }
      let groups = (0..<8).map { index in
        UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64(48 - 16 * (index % 4)))
      }
      var best = 0..<0
      var start = 0
      while start < 8 {
        var end = start
        while end < 8, groups[end] == 0 { end += 1 }
        if end - start > max(best.count, 1) { best = start..<end }
        start = max(end, start + 1)
      }
      func text(_ range: Range<Int>) -> String {
        range.map { String(groups[$0], radix: 16) }.joined(separator: ":")
      }
      return best.isEmpty ? text(0..<8) : text(0..<best.lowerBound) + "::" + text(best.upperBound..<8)
    }
  }
}
