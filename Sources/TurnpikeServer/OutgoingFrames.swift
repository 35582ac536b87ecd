internal import NetIO
internal import NetworkTypes
internal import STUN

/// What waits to be written to a client's stream: whole frames, in order. Where too much waits, the oldest media goes
/// (to a call, late media is worth less than none), never a control message.
struct OutgoingFrames: ~Copyable {
  private var waiting = PooledBytes()
  /// How much of the head belongs to a frame that has been written in part: that one must be finished.
  private var begunByteCount = 0

  var count: Int { waiting.count }
  var isEmpty: Bool { waiting.isEmpty }

  /// How many bytes the first frame has, or what is left of it; there must be one.
  var firstByteCount: Int { begunByteCount > 0 ? begunByteCount : frame(at: 0).byteCount }

  var bytes: RawSpan {
    @_lifetime(borrow self)
    get { waiting.bytes }
  }

  /// Appends one message in three pieces; false where it finds no room.
  mutating func append(
    prefix: RawSpan, _ bytes: RawSpan, padding: Int = 0, _ pool: inout BlockPool
  ) -> Bool {
    guard count + prefix.byteCount + bytes.byteCount + padding <= BlockPool.largest else { return false }
    return waiting.append(prefix, &pool) && waiting.append(bytes, &pool) && waiting.append(zeros: padding, &pool)
  }

  /// Forgets what has been written.
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

  /// Drops media, the oldest first, until no more than `target` bytes wait, and returns how many frames went.
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

  /// The frame that begins at an offset. They are our own, so each is whole.
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
