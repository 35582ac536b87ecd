/// The beginning of a connection from a proxy, in version 2 of the PROXY protocol: the addresses of the client and of
/// the proxy's own listener.
///
/// ```
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |         signature: 0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A        |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |version|command|family |protoc.|     length of what follows    |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// |  source address, destination address, source port, destination|
/// |  port, then optional TLVs                                     |
/// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// TLVs are skipped, as the protocol's section 2.2.7 allows.
public enum ProxyHeader: Equatable, Sendable {
  /// More bytes are needed: the header has at least this many.
  case incomplete(atLeast: Int)
  /// A whole header of `byteCount` bytes with the client's addresses.
  case proxied(source: SocketAddress, destination: SocketAddress, byteCount: Int)
  /// The connection is the proxy's own, such as its health check: its real addresses apply.
  case local(byteCount: Int)
  case invalid(Reason)

  /// The reason why a connection does not begin with a header that we accept.
  public enum Reason: String, Equatable, Sendable, CaseIterable {
    case noHeader = "no PROXY header"
    case version1 = "PROXY protocol version 1, which is text: let the proxy send version 2"
    case version = "an unknown version of the PROXY protocol"
    case command = "an unknown command"
    case family = "not TCP over IPv4 or IPv6"
    case tooShort = "too short for its addresses"
    case tooLong = "a header of more than 4096 bytes"
    case address = "the client's port is 0, or its address is no unicast address"
  }

  static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
  private static let version1: [UInt8] = Array("PROXY ".utf8)
  private static let fixedByteCount = 16
  /// Limit of a whole header. Two IPv6 addresses take 52 bytes, TLVs with the names of a TLS session a few hundred.
  public static let limit = 4096

  /// Reads the header at the beginning of these bytes.
  public init(_ bytes: RawSpan) {
    let seen = min(bytes.byteCount, Self.signature.count)
    for index in 0..<seen where bytes.byte(at: index) != Self.signature[index] {
      self = .invalid(Self.isVersion1(bytes) ? .version1 : .noHeader)
      return
    }
    guard bytes.byteCount >= Self.fixedByteCount else {
      self = .incomplete(atLeast: Self.fixedByteCount)
      return
    }
    let byteCount = Self.fixedByteCount + Int(bytes.bigEndian16(at: 14))
    if let reason = Self.reasonAgainst(bytes, byteCount) {
      self = .invalid(reason)
    } else if bytes.byteCount < byteCount {
      self = .incomplete(atLeast: byteCount)
    } else if bytes.byte(at: 12) == 0x20 {
      self = .local(byteCount: byteCount)
    } else {
      self = Self.proxied(bytes, byteCount)
    }
  }

  /// Whether the bytes that have arrived are the beginning of version 1.
  private static func isVersion1(_ bytes: RawSpan) -> Bool {
    let seen = min(bytes.byteCount, version1.count)
    for index in 0..<seen where bytes.byte(at: index) != version1[index] { return false }
    return true
  }

  /// The reason to refuse the fixed part, which is checked before the rest has arrived; nil without one.
  private static func reasonAgainst(_ bytes: RawSpan, _ byteCount: Int) -> Reason? {
    guard bytes.byte(at: 12) >> 4 == 2 else { return .version }
    guard byteCount <= limit else { return .tooLong }
    switch bytes.byte(at: 12) & 0x0F {
    case 0: return nil
    case 1: break
    default: return .command
    }
    switch bytes.byte(at: 13) {
    case 0x11: return byteCount >= fixedByteCount + 12 ? nil : .tooShort
    case 0x21: return byteCount >= fixedByteCount + 36 ? nil : .tooShort
    default: return .family
    }
  }

  private static func proxied(_ bytes: RawSpan, _ byteCount: Int) -> ProxyHeader {
    let source: SocketAddress
    let destination: SocketAddress
    if bytes.byte(at: 13) == 0x11 {
      source = SocketAddress(IPAddress(ipv4: bytes.bigEndian32(at: 16)), port: bytes.bigEndian16(at: 24))
      destination = SocketAddress(IPAddress(ipv4: bytes.bigEndian32(at: 20)), port: bytes.bigEndian16(at: 26))
    } else {
      source = SocketAddress(ipv6(bytes, at: 16), port: bytes.bigEndian16(at: 48))
      destination = SocketAddress(ipv6(bytes, at: 32), port: bytes.bigEndian16(at: 50))
    }
    guard source.port != 0, source.address.canBeOfClient else { return .invalid(.address) }
    return .proxied(source: source, destination: destination, byteCount: byteCount)
  }

  /// An IPv6 address. Proxies write IPv4-mapped addresses if only one side has IPv6: these are IPv4 addresses.
  private static func ipv6(_ bytes: RawSpan, at offset: Int) -> IPAddress {
    let (high, low) = (bytes.bigEndian64(at: offset), bytes.bigEndian64(at: offset + 8))
    guard high == 0, low >> 32 == 0xFFFF else { return IPAddress(ipv6High: high, low: low) }
    return IPAddress(ipv4: UInt32(truncatingIfNeeded: low))
  }
}

extension IPAddress {
  /// Whether a connection can come from this address: not unspecified, multicast or broadcast.
  fileprivate var canBeOfClient: Bool {
    switch family {
    case .ipv4: !isUnspecified && ipv4Bits >> 28 < 0xE
    case .ipv6: !isUnspecified && high >> 56 != 0xFF
    }
  }
}
