internal import NetworkTypes

/// Writes a capture as pcapng (draft-ietf-opsawg-pcapng). Each message gets invented UDP and IP headers, also for
/// clients of TCP, TLS and DTLS, whose own packets would not show the message.
struct CaptureFile: Sendable {
  /// Limit of the file, in bytes.
  static let limit = 4 << 20

  private(set) var bytes: [UInt8] = []
  private(set) var messages = 0

  init() {
    // Section header: byte order, version 1.0, unknown length.
    appendBlock(0x0A0D_0D0A, words: [0x1A2B_3C4D, 1, .max, .max])
    // One interface: LINKTYPE_RAW (101), no limit of packets, if_tsresol of nanoseconds (10^-9).
    appendBlock(1, words: [101, 0, 1 << 16 | 9, 9, 0])
  }

  /// Continues a file that another process began.
  init(bytes: [UInt8], messages: Int) {
    self.bytes = bytes
    self.messages = messages
  }

  /// Adds a message; false if the file would become too long.
  ///
  /// - Parameters:
  ///   - time: the time since 1970; the file stores nanoseconds.
  ///   - comment: a text for facts that the headers do not show.
  mutating func append(
    _ message: [UInt8], time: Duration, from source: SocketAddress, to target: SocketAddress, comment: String
  ) -> Bool {
    // The check comes before the packet is made: headers, block and comment take less than 256 bytes.
    guard bytes.count + message.count + 256 <= Self.limit else { return false }
    let packet = Self.packet(message, from: source, to: target)
    let text = Array(comment.utf8.prefix(64))
    var body: [UInt8] = []
    let count = UInt32(truncatingIfNeeded: packet.count)
    let nanoseconds = time.wholeNanoseconds
    let (high, low) = (UInt32(truncatingIfNeeded: nanoseconds >> 32), UInt32(truncatingIfNeeded: nanoseconds))
    for word in [0, high, low, count, count] {
      Self.append(word, to: &body)
    }
    body += packet + Self.padding(packet.count)
    // opt_comment, then opt_endofopt.
    Self.append(UInt32(truncatingIfNeeded: text.count) << 16 | 1, to: &body)
    body += text + Self.padding(text.count) + [0, 0, 0, 0]
    appendBlock(6, body)
    messages += 1
    return true
  }

  private mutating func appendBlock(_ type: UInt32, words: [UInt32]) {
    var body: [UInt8] = []
    for word in words { Self.append(word, to: &body) }
    appendBlock(type, body)
  }

  private mutating func appendBlock(_ type: UInt32, _ body: [UInt8]) {
    let length = UInt32(truncatingIfNeeded: body.count + 12)
    Self.append(type, to: &bytes)
    Self.append(length, to: &bytes)
    bytes += body
    Self.append(length, to: &bytes)
  }

  /// Appends a word in little-endian order, as the section header declares.
  private static func append(_ word: UInt32, to bytes: inout [UInt8]) {
    for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(shift))) }
  }

  private static func padding(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: -count & 3) }

  // MARK: - IP and UDP

  /// A message in UDP in IPv4 or IPv6, by the family of the target; an address of the other family is written as zeros.
  static func packet(_ message: [UInt8], from source: SocketAddress, to target: SocketAddress) -> [UInt8] {
    let length = UInt16(clamping: message.count + 8)
    let addresses = bytes(of: source.address, like: target.address) + bytes(of: target.address, like: target.address)
    var datagram = words([source.port, target.port, length, 0]) + message
    let sum = checksum(addresses + words([17, length]) + datagram)
    // A zero field would mean no checksum (RFC 768).
    datagram.replaceSubrange(6..<8, with: words([sum == 0 ? 0xFFFF : sum]))
    switch target.family {
    case .ipv6: return [0x60, 0, 0, 0] + words([length]) + [17, 64] + addresses + datagram
    case .ipv4:
      var header = [0x45, 0] + words([UInt16(clamping: message.count + 28), 0, 0]) + [64, 17, 0, 0] + addresses
      header.replaceSubrange(10..<12, with: words([checksum(header)]))
      return header + datagram
    }
  }

  private static func bytes(of address: IPAddress, like other: IPAddress) -> [UInt8] {
    let isAlike = address.family == other.family
    let words = other.family == .ipv4 ? [UInt64(address.ipv4Bits) << 32] : [address.high, address.low]
    let bytes = words.flatMap { word in
      stride(from: 56, through: 0, by: -8).map { isAlike ? UInt8(truncatingIfNeeded: word >> UInt64($0)) : 0 }
    }
    return Array(bytes.prefix(other.family == .ipv4 ? 4 : 16))
  }

  private static func words(_ words: [UInt16]) -> [UInt8] {
    words.flatMap { [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)] }
  }

  /// The Internet checksum (RFC 1071).
  private static func checksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt64 = 0
    for (index, byte) in bytes.enumerated() { sum &+= UInt64(byte) << (index & 1 == 0 ? 8 : 0) }
    while sum > 0xFFFF { sum = (sum & 0xFFFF) + sum >> 16 }
    return ~UInt16(truncatingIfNeeded: sum)
  }
}
