public import NetworkTypes

/// The UDP datagram or TCP segment in a captured frame: link layer, IP and transport headers taken off.
public struct CapturedSegment: Hashable, Sendable {
  public enum Transport: Hashable, Sendable {
    case udp
    /// With the sequence number of the payload's first byte, and whether it begins the stream.
    case tcp(sequence: UInt32, isFirst: Bool)
  }

  public var transport: Transport
  public var source: SocketAddress
  public var destination: SocketAddress
  public var payload: [UInt8]

  public init(transport: Transport, source: SocketAddress, destination: SocketAddress, payload: [UInt8]) {
    self.transport = transport
    self.source = source
    self.destination = destination
    self.payload = payload
  }

  /// Why a frame has none.
  public enum Problem: Error, Hashable, Sendable {
    /// Another protocol than IP, UDP or TCP.
    case notOurs
    /// A fragment: only whole packets are looked into.
    case fragment
    /// Cut short by the capture, or malformed.
    case truncated
    /// A link layer that is not known here.
    case linkType(Int32)
  }

  /// How frames begin, by libpcap's numbers of link types.
  public static func parse(_ frame: [UInt8], linkType: Int32) throws(Problem) -> CapturedSegment {
    let start: Int
    switch linkType {
    // Ethernet, with VLAN tags or without.
    case 1: start = try network(frame, typeAt: 12)
    // Linux "any": the old and the new form.
    case 113: start = try network(frame, typeAt: 14)
    case 276: start = try network(frame, typeAt: 0, headerByteCount: 20)
    // BSD loopback: the family in host or network order.
    case 0, 108: start = 4
    // IP without a link layer.
    case 12, 14, 101, 228, 229: start = 0
    default: throw .linkType(linkType)
    }
    return try ip(frame, at: start)
  }

  /// Where the network layer begins, behind a type field and its VLAN tags.
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

  private static func ip(_ frame: [UInt8], at start: Int) throws(Problem) -> CapturedSegment {
    guard start < frame.count else { throw .truncated }
    switch frame[start] >> 4 {
    case 4: return try ipv4(frame, at: start)
    case 6: return try ipv6(frame, at: start)
    default: throw .notOurs
    }
  }

  private static func ipv4(_ frame: [UInt8], at start: Int) throws(Problem) -> CapturedSegment {
    let headerByteCount = Int(frame[start] & 15) * 4
    guard headerByteCount >= 20, frame.count >= start + headerByteCount else { throw .truncated }
    let view = frame.span.rawBytes
    let total = Int(view.bigEndian16(at: start + 2))
    guard view.bigEndian16(at: start + 6) & 0x3FFF == 0 else { throw .fragment }
    // A length of 0 is what offloading leaves in captures of the sender's own host.
    let end = total == 0 ? frame.count : start + total
    guard total == 0 || total >= headerByteCount, end <= frame.count else { throw .truncated }
    return try transport(
      frame, frame[start + 9], start + headerByteCount, end, IPAddress(ipv4: view.bigEndian32(at: start + 12)),
      IPAddress(ipv4: view.bigEndian32(at: start + 16)))
  }

  private static func ipv6(_ frame: [UInt8], at start: Int) throws(Problem) -> CapturedSegment {
    guard frame.count >= start + 40 else { throw .truncated }
    let view = frame.span.rawBytes
    let length = Int(view.bigEndian16(at: start + 4))
    let end = length == 0 ? frame.count : start + 40 + length
    guard end <= frame.count else { throw .truncated }
    var next = frame[start + 6]
    var offset = start + 40
    // Hop-by-hop options, routing and destination options may stand before; a fragment header ends it.
    for _ in 0..<8 {
      guard next == 0 || next == 43 || next == 60 else { break }
      guard end >= offset + 8 else { throw .truncated }
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
    guard end >= start + headerByteCount else { throw .truncated }
    let view = frame.span.rawBytes
    let from = SocketAddress(source, port: view.bigEndian16(at: start))
    let to = SocketAddress(destination, port: view.bigEndian16(at: start + 2))
    if number == 17 {
      let length = Int(view.bigEndian16(at: start + 4))
      let stop = length == 0 ? end : start + length
      guard length == 0 || length >= 8, stop <= end else { throw .truncated }
      return CapturedSegment(
        transport: .udp, source: from, destination: to, payload: Array(frame[(start + 8)..<stop]))
    }
    let data = start + Int(frame[start + 12] >> 4) * 4
    guard data >= start + 20, data <= end else { throw .truncated }
    let isFirst = frame[start + 13] & 0x02 != 0
    // SYN takes a number of its own.
    let sequence = view.bigEndian32(at: start + 4) &+ (isFirst ? 1 : 0)
    return CapturedSegment(
      transport: .tcp(sequence: sequence, isFirst: isFirst), source: from, destination: to,
      payload: Array(frame[data..<end]))
  }
}
