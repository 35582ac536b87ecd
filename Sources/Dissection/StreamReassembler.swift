internal import NetworkTypes
internal import STUN

/// Puts the segments of TCP streams in order and cuts messages out of them. What is no STUN is given up, stream by
/// stream; memory is bounded.
public struct StreamReassembler: Sendable {
  private struct Direction: Hashable {
    var source: SocketAddress
    var destination: SocketAddress
  }

  private struct Stream {
    var next: UInt32
    var bytes: [UInt8] = []
    /// Segments that came early, by their sequence numbers.
    var early: [UInt32: [UInt8]] = [:]
    var isSTUN = true
  }

  private var streams: [Direction: Stream] = [:]

  /// Streams that are followed at a time, and segments of one that may wait for an earlier one.
  private static let streamLimit = 1024
  private static let earlyLimit = 64

  public init() {}

  /// Takes a segment; the whole messages that it completes. `isSTUN` is false once the stream has turned out to carry
  /// something else.
  public mutating func take(_ segment: CapturedSegment) -> (messages: [[UInt8]], isSTUN: Bool) {
    guard case .tcp(let sequence, let isFirst) = segment.transport else { return ([], false) }
    let direction = Direction(source: segment.source, destination: segment.destination)
    if streams.count >= Self.streamLimit, streams[direction] == nil { streams = [:] }
    // A capture that begins in the middle begins with whatever segment comes first.
    var stream = isFirst ? Stream(next: sequence) : streams[direction] ?? Stream(next: sequence)
    defer { streams[direction] = stream }
    guard stream.isSTUN, !segment.payload.isEmpty else { return ([], stream.isSTUN) }
    Self.add(segment.payload, at: sequence, to: &stream)
    return (Self.cut(&stream), stream.isSTUN)
  }

  private static func add(_ payload: [UInt8], at sequence: UInt32, to stream: inout Stream) {
    if Int32(bitPattern: sequence &- stream.next) > 0 {
      guard stream.early.count < earlyLimit else {
        // The capture has lost a segment for good: the stream begins anew here, and no message is under way.
        stream.early = [:]
        stream.bytes = payload
        stream.next = sequence &+ UInt32(truncatingIfNeeded: payload.count)
        return
      }
      stream.early[sequence] = payload
      return
    }
    // What was there before is a retransmission.
    let known = Int(stream.next &- sequence)
    guard known < payload.count else { return }
    stream.bytes += payload[known...]
    stream.next = sequence &+ UInt32(truncatingIfNeeded: payload.count)
    while let (begin, more) = stream.early.first(where: { Int32(bitPattern: $0.key &- stream.next) <= 0 }) {
      stream.early[begin] = nil
      let overlap = Int(stream.next &- begin)
      if overlap < more.count {
        stream.bytes += more[overlap...]
        stream.next = begin &+ UInt32(truncatingIfNeeded: more.count)
      }
    }
  }

  private static func cut(_ stream: inout Stream) -> [[UInt8]] {
    var messages: [[UInt8]] = []
    var offset = 0
    while offset < stream.bytes.count {
      switch frame(stream.bytes, at: offset) {
      case .incomplete:
        stream.bytes.removeFirst(offset)
        return messages
      case .message(let count):
        messages.append(Array(stream.bytes[offset..<(offset + count)]))
        offset += count
      case .channelData(let count, let padded):
        messages.append(Array(stream.bytes[offset..<(offset + count)]))
        offset += padded
      case .invalid:
        stream.isSTUN = false
        stream.bytes = []
        stream.early = [:]
        return messages
      }
    }
    stream.bytes = []
    return messages
  }

  private static func frame(_ bytes: [UInt8], at offset: Int) -> StreamFrame {
    StreamFrame(bytes.span.rawBytes.extracting(offset..<bytes.count), allowsChannelData: true)
  }
}
