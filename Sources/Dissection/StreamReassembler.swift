internal import NetworkTypes
internal import STUN

/// Puts the segments of TCP streams in order and splits them into messages. A stream that is not STUN is ignored from
/// then on; memory is bounded.
struct StreamReassembler: Sendable {
  /// A message, and the number of its bytes that the capture omitted.
  struct Piece: Hashable {
    var bytes: [UInt8]
    var missing = 0
  }

  /// The way to read a stream.
  enum Reading: Hashable {
    /// Any content, ChannelData included: for the first pass, which finds out the content.
    case survey
    /// STUN and ChannelData back to back (RFC 8489 section 6.2.2).
    case plain(allowsChannelData: Bool)
    /// Each packet has a two-byte length before it (RFC 4571, RFC 6544).
    case framed
  }

  /// The messages that a segment completes.
  struct Found {
    var messages: [Piece] = []
    /// Whether the stream carries another protocol.
    var isOther = false
    /// Whether the stream has two-byte lengths (RFC 4571).
    var isFramed = false
  }

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
    var isFramed = false
    /// Whether no message has been found yet.
    var isUndecided = true
    /// Whether a ConnectionBind was seen: later bytes are the peer's data (RFC 6062 section 4.4).
    var isDataConnection = false
    /// Whether bytes are missing before `bytes`: the stream may continue in the middle of a message.
    var isResuming = false
  }

  private var streams: [Direction: Stream] = [:]

  /// Limits of streams (then all are forgotten), and of segments in one stream that wait for an earlier one.
  private static let streamLimit = 1024
  private static let earlyLimit = 64

  init() {}

  /// Adds a segment and returns the messages that it completes.
  mutating func take(_ segment: CapturedSegment, _ reading: Reading) -> Found {
    guard case .tcp(let sequence, let isFirst) = segment.transport else { return Found(isOther: true) }
    let direction = Direction(source: segment.source, destination: segment.destination)
    if streams.count >= Self.streamLimit, streams[direction] == nil { streams = [:] }
    // If the capture lacks the beginning of a stream, the first segment counts as the beginning.
    var stream = isFirst ? Stream(next: sequence) : streams[direction] ?? Stream(next: sequence)
    defer { streams[direction] = stream }
    if reading == .framed { stream.isFramed = true }
    var found = Found(isOther: !stream.isSTUN, isFramed: stream.isFramed)
    guard stream.isSTUN, !segment.payload.isEmpty else { return found }
    Self.add(segment.payload, at: sequence, to: &stream)
    found.messages = Self.cut(&stream, reading)
    if segment.missing > 0 { Self.skip(segment, sequence, &stream, &found) }
    found.isOther = !stream.isSTUN
    found.isFramed = stream.isFramed
    return found
  }

  private static func add(_ payload: [UInt8], at sequence: UInt32, to stream: inout Stream) {
    if Int32(bitPattern: sequence &- stream.next) > 0 {
      guard stream.early.count < earlyLimit else {
        // The capture lacks a segment: the stream restarts here, outside of a message.
        stream.early = [:]
        stream.bytes = payload
        stream.next = sequence &+ UInt32(truncatingIfNeeded: payload.count)
        stream.isResuming = true
        return
      }
      stream.early[sequence] = payload
      return
    }
    // Known bytes are a retransmission.
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

  /// Handles a truncated segment: returns the beginning of its truncated message, and continues the stream after the
  /// gap.
  private static func skip(
    _ segment: CapturedSegment, _ sequence: UInt32, _ stream: inout Stream, _ found: inout Found
  ) {
    let end = sequence &+ UInt32(truncatingIfNeeded: segment.payload.count)
    guard stream.next == end else { return }
    if stream.isSTUN, !stream.isFramed, stream.bytes.count >= 8 {
      let whole = headerByteCount + Int(stream.bytes.span.rawBytes.bigEndian16(at: 2))
      if Shape(stream.bytes, missing: 0) == .message, whole > stream.bytes.count {
        found.messages.append(Piece(bytes: stream.bytes, missing: whole - stream.bytes.count))
      }
    }
    stream.bytes = []
    stream.next = end &+ UInt32(truncatingIfNeeded: segment.missing)
    stream.isResuming = true
  }

  // MARK: - Cutting

  private static func cut(_ stream: inout Stream, _ reading: Reading) -> [Piece] {
    var messages: [Piece] = []
    var offset = 0
    while offset < stream.bytes.count {
      switch frame(stream, at: offset, reading) {
      case .incomplete:
        stream.bytes.removeFirst(offset)
        return messages
      case .invalid:
        stream.bytes = []
        // The bytes after a gap may be the rest of a message: try the next segment.
        if !stream.isResuming { stream.isSTUN = false }
        if !stream.isSTUN { stream.early = [:] }
        return messages
      case .framed(let count):
        stream.isFramed = true
        let packet = Array(stream.bytes[(offset + 2)..<(offset + count)])
        // The rest is media, or DTLS.
        if Shape(packet) == .message { messages.append(Piece(bytes: packet)) }
        offset += count
      case .message(let count, let padded):
        let message = Array(stream.bytes[offset..<(offset + count)])
        // ConnectionBind, in each of its classes.
        if message[0] < 4, message.span.rawBytes.bigEndian16(at: 0) & 0x3EEF == 0x000B {
          stream.isDataConnection = true
        }
        messages.append(Piece(bytes: message))
        offset += padded
      }
      stream.isUndecided = false
      stream.isResuming = false
    }
    stream.bytes = []
    return messages
  }

  private enum Frame {
    case incomplete, invalid
    /// The length of a framed packet, including the two-byte length.
    case framed(Int)
    case message(Int, padded: Int)
  }

  private static func frame(_ stream: Stream, at offset: Int, _ reading: Reading) -> Frame {
    let view = stream.bytes.span.rawBytes.extracting(offset..<stream.bytes.count)
    if stream.isFramed || (stream.isUndecided && reading == .survey && beginsFramed(view) == true) {
      guard view.byteCount >= 2 else { return .incomplete }
      let count = 2 + Int(view.bigEndian16(at: 0))
      return view.byteCount >= count ? .framed(count) : .incomplete
    }
    if stream.isUndecided, reading == .survey, beginsFramed(view) == nil { return .incomplete }
    var allowsChannelData = true
    if case .plain(let allows) = reading { allowsChannelData = allows }
    switch StreamFrame(view, allowsChannelData: allowsChannelData && !stream.isDataConnection) {
    case .incomplete: return .incomplete
    case .message(let count): return .message(count, padded: count)
    case .channelData(let count, let padded): return .message(count, padded: padded)
    case .invalid: return .invalid
    }
  }

  /// Whether a two-byte length precedes a STUN message; nil: more bytes are needed.
  private static func beginsFramed(_ view: RawSpan) -> Bool? {
    guard view.byteCount >= 3 else { return nil }
    guard view.byte(at: 2) < 4, view.byte(at: 0) < 4 || view.byteCount >= 10 else { return false }
    guard view.byteCount >= 10 else {
      // Without framing the magic cookie is two bytes earlier.
      return view.byteCount >= 8 && view.bigEndian32(at: 4) == magicCookie ? false : nil
    }
    return view.bigEndian32(at: 6) == magicCookie
      && Int(view.bigEndian16(at: 0)) == headerByteCount + Int(view.bigEndian16(at: 4))
  }
}
