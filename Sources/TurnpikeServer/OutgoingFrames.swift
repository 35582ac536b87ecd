internal import NetIO
internal import NetworkTypes
internal import STUN

/// Whole frames that wait to be written to a client's stream, in order. At the limit the oldest media is dropped (late
/// media is worse for a call than none), never a control message.
struct OutgoingFrames: ~Copyable {
  private var waiting = PooledBytes()
  /// The remaining bytes of a partly written frame at the head, which must be completed.
  private(set) var begunByteCount = 0

  var count: Int { waiting.count }
  var isEmpty: Bool { waiting.isEmpty }
  /// The size of the block that holds the bytes.
  var heldByteCount: Int { waiting.heldByteCount }

  /// The length of the first frame, or of its rest; there must be one.
  var firstByteCount: Int { begunByteCount > 0 ? begunByteCount : frame(at: 0).byteCount }

  var bytes: RawSpan {
    @_lifetime(borrow self)
    get { waiting.bytes }
  }

  /// Appends one message in three pieces; false without room.
  mutating func append(
    prefix: RawSpan, _ bytes: RawSpan, padding: Int = 0, _ pool: inout BlockPool
  ) -> Bool {
    guard count + prefix.byteCount + bytes.byteCount + padding <= BlockPool.largest else { return false }
    return waiting.append(prefix, &pool) && waiting.append(bytes, &pool) && waiting.append(zeros: padding, &pool)
  }

  /// Takes over the waiting bytes of another process; false without room.
  mutating func restore(_ bytes: RawSpan, begun: Int, _ pool: inout BlockPool) -> Bool {
    begunByteCount = begun
    return waiting.append(bytes, &pool)
  }

  /// Removes written bytes.
  mutating func consume(_ byteCount: Int, _ pool: inout BlockPool) {
    if byteCount >= count {
      begunByteCount = 0
    } else {
      var boundary = begunByteCount
      while boundary < byteCount { boundary += frame(at: boundary).byteCount }
      begunByteCount = boundary - byteCount
    }
    waiting.consume(byteCount, &pool)
  }

  /// Drops the oldest media until at most `target` bytes wait, and returns the number of dropped frames.
  mutating func dropOldestMedia(downTo target: Int, _ pool: inout BlockPool) -> Int {
    var excess = count - target
    var dropped = 0
    var kept = begunByteCount
    var next = begunByteCount
    while next < count {
      let (byteCount, isMedia) = frame(at: next)
      if isMedia, excess > 0 {
        excess -= byteCount
        dropped += 1
      } else {
        waiting.move(next..<(next + byteCount), to: kept)
        kept += byteCount
      }
      next += byteCount
    }
    if kept == 0 { waiting.removeAll(&pool) } else { waiting.truncate(to: kept) }
    return dropped
  }

  /// The frame that begins at an offset. The relay has made all frames, so each is complete.
  private func frame(at offset: Int) -> (byteCount: Int, isMedia: Bool) {
    let rest = waiting.bytes.extracting(offset..<count)
    switch StreamFrame(rest, allowsChannelData: true) {
    case .channelData(_, let padded): return (padded, true)
    case .message(let count): return (count, rest.bigEndian16(at: 0) == Self.dataIndication)
    case .incomplete, .invalid: return (rest.byteCount, false)
    }
  }

  private static let dataIndication = MessageType(.data, .indication).bits
}
