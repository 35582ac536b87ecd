public import NetworkTypes

/// The UDP datagram or TCP segment in a captured frame: without link layer, IP and transport headers.
public struct CapturedSegment: Hashable, Sendable {
  /// UDP, or TCP with the position in the stream.
  public enum Transport: Hashable, Sendable {
    case udp
    /// The sequence number of the payload's first byte, and whether it begins the stream.
    case tcp(sequence: UInt32, isFirst: Bool)
  }

  public var transport: Transport
  public var source: SocketAddress
  public var destination: SocketAddress
  public var payload: [UInt8]
  /// Bytes at the end of the payload that the capture omitted because of its snapshot length.
  public var missing = 0

  public init(transport: Transport, source: SocketAddress, destination: SocketAddress, payload: [UInt8]) {
    self.transport = transport
    self.source = source
    self.destination = destination
    self.payload = payload
  }

  /// The reason why a frame has no UDP datagram or TCP segment that can be read.
  public enum Problem: Error, Hashable, Sendable {
    /// The protocol is not IP, or not UDP or TCP.
    case notOurs
    /// The packet is an IP fragment; only whole packets are read.
    case fragment
    /// Cut short by the capture, or malformed.
    case truncated
    /// The link layer is unknown.
    case linkType(Int32)
  }

  /// Parses a frame; `linkType` is libpcap's number of its link layer.
  ///
  /// - Parameter isCut: the capture kept only the beginning of the frame; the payload is then incomplete and `missing`
  ///   is not 0.
  public static func parse(_ frame: [UInt8], linkType: Int32, isCut: Bool = false) throws(Problem) -> CapturedSegment {
    let start: Int
    switch linkType {
    // Ethernet, with VLAN tags or without.
    case 1: start = try network(frame, typeAt: 12)
    // Linux "any": SLL and SLL2.
    case 113: start = try network(frame, typeAt: 14)
    case 276: start = try network(frame, typeAt: 0, headerByteCount: 20)
    // BSD loopback: the family in host or network order.
    case 0, 108: start = 4
    // IP without a link layer.
    case 12, 14, 101, 228, 229: start = 0
    default: throw .linkType(linkType)
    }
    return try ip(frame, at: start, isCut)
  }

  /// Parses a frame of unknown link type: Ethernet, Linux "any", BSD loopback or IP alone. Nil unless the checksum of
  /// the IPv4 header, or the length in the IPv6 one, is right. A STUN message is never taken for a frame.
  public static func recognize(_ frame: [UInt8]) -> CapturedSegment? {
    guard Shape(frame) != .message else { return nil }
    for (linkType, offsets) in [(Int32(1), [14, 18]), (276, [20]), (113, [16]), (101, [0]), (0, [4])] {
      guard offsets.contains(where: { isNetwork(frame, at: $0) }),
        let segment = try? parse(frame, linkType: linkType), !segment.payload.isEmpty
      else { continue }
      return segment
    }
    return nil
  }

  private static func isNetwork(_ frame: [UInt8], at start: Int) -> Bool {
    guard frame.count >= start + 40 else { return isIPv4(frame, at: start) }
    let view = frame.span.rawBytes
    let isIPv6 =
      frame[start] >> 4 == 6 && frame.count >= start + 40 + Int(view.bigEndian16(at: start + 4))
      && [6, 17].contains(frame[start + 6])
    return isIPv6 || isIPv4(frame, at: start)
  }

  private static func isIPv4(_ frame: [UInt8], at start: Int) -> Bool {
    guard frame.count >= start + 28, frame[start] >> 4 == 4, [6, 17].contains(frame[start + 9]) else { return false }
    let count = Int(frame[start] & 15) * 4
    guard count >= 20, frame.count >= start + count else { return false }
    let view = frame.span.rawBytes
    var sum: UInt32 = 0
    for offset in stride(from: 0, to: count, by: 2) { sum += UInt32(view.bigEndian16(at: start + offset)) }
    sum = (sum & 0xFFFF) + sum >> 16
    return (sum & 0xFFFF) + sum >> 16 == 0xFFFF
  }

  /// The offset of the network layer, after a type field and its VLAN tags.
  private static func network(_ frame: [UInt8], typeAt: Int, headerByteCount: Int? = nil) throws(Problem) -> Int {
    var offset = typeAt
    for _ in 0..<3 {
      guard frame.count >= offset + 2 else { throw .truncated }
      switch UInt16(frame[offset]) << 8 | UInt16(frame[offset + 1]) {
      case 0x0800, 0x86DD: return headerByteCount ?? offset + 2
      case 0x8100, 0x88A8: offset += 4
      default: throw .notOurs
      }
    }
    throw .notOurs
  }

  private static func ip(_ frame: [UInt8], at start: Int, _ isCut: Bool) throws(Problem) -> CapturedSegment {
    guard start < frame.count else { throw .truncated }
    switch frame[start] >> 4 {
    case 4: return try ipv4(frame, at: start, isCut)
    case 6: return try ipv6(frame, at: start, isCut)
    default: throw .notOurs
    }
  }

  private static func ipv4(_ frame: [UInt8], at start: Int, _ isCut: Bool) throws(Problem) -> CapturedSegment {
    let headerByteCount = Int(frame[start] & 15) * 4
    guard headerByteCount >= 20, frame.count >= start + headerByteCount else { throw .truncated }
    let view = frame.span.rawBytes
    let total = Int(view.bigEndian16(at: start + 2))
    guard view.bigEndian16(at: start + 6) & 0x3FFF == 0 else { throw .fragment }
    // In a capture on the sender's host the length is 0 if the network card fills it in.
    let end = total == 0 ? frame.count : start + total
    guard total == 0 || total >= headerByteCount, end <= frame.count || isCut else { throw .truncated }
    return try transport(
      frame, frame[start + 9], start + headerByteCount, end, IPAddress(ipv4: view.bigEndian32(at: start + 12)),
      IPAddress(ipv4: view.bigEndian32(at: start + 16)))
  }

  private static func ipv6(_ frame: [UInt8], at start: Int, _ isCut: Bool) throws(Problem) -> CapturedSegment {
    guard frame.count >= start + 40 else { throw .truncated }
    let view = frame.span.rawBytes
    let length = Int(view.bigEndian16(at: start + 4))
    let end = length == 0 ? frame.count : start + 40 + length
    guard end <= frame.count || isCut else { throw .truncated }
    var next = frame[start + 6]
    var offset = start + 40
    // Skips hop-by-hop, routing and destination headers; a fragment header ends the search.
    for _ in 0..<8 {
      guard next == 0 || next == 43 || next == 60 else { break }
      guard end >= offset + 8, frame.count >= offset + 8 else { throw .truncated }
      next = frame[offset]
      offset += 8 + Int(frame[offset + 1]) * 8
    }
    if next == 44 { throw .fragment }
    let source = IPAddress(ipv6High: view.bigEndian64(at: start + 8), low: view.bigEndian64(at: start + 16))
    let destination = IPAddress(ipv6High: view.bigEndian64(at: start + 24), low: view.bigEndian64(at: start + 32))
    return try transport(frame, next, offset, end, source, destination)
  }

  private static func transport(
    _ frame: [UInt8], _ number: UInt8, _ start: Int, _ end: Int, _ source: IPAddress, _ destination: IPAddress
  ) throws(Problem) -> CapturedSegment {
    guard number == 17 || number == 6 else { throw .notOurs }
    let headerByteCount = number == 17 ? 8 : 20
    guard end >= start + headerByteCount, frame.count >= start + headerByteCount else { throw .truncated }
    let view = frame.span.rawBytes
    let from = SocketAddress(source, port: view.bigEndian16(at: start))
    let to = SocketAddress(destination, port: view.bigEndian16(at: start + 2))
    if number == 17 {
      let length = Int(view.bigEndian16(at: start + 4))
      let stop = length == 0 ? end : start + length
      guard length == 0 || length >= 8, stop <= end else { throw .truncated }
      return CapturedSegment(.udp, from, to, frame, (start + 8)..<stop)
    }
    let data = start + Int(frame[start + 12] >> 4) * 4
    guard data >= start + 20, data <= end, data <= frame.count else { throw .truncated }
    let isFirst = frame[start + 13] & 0x02 != 0
    // SYN counts as one byte in the sequence numbers.
    let sequence = view.bigEndian32(at: start + 4) &+ (isFirst ? 1 : 0)
    return CapturedSegment(.tcp(sequence: sequence, isFirst: isFirst), from, to, frame, data..<end)
  }

  /// `range`: the payload in the whole frame; the captured frame may end earlier.
  private init(
    _ transport: Transport, _ source: SocketAddress, _ destination: SocketAddress, _ frame: [UInt8], _ range: Range<Int>
  ) {
    let kept = range.clamped(to: 0..<frame.count)
    self.init(transport: transport, source: source, destination: destination, payload: Array(frame[kept]))
    missing = range.count - kept.count
  }
}
