internal import Tables

/// One RTP stream (SSRC) as it arrives at the relay: its sequence and its jitter. It takes 40 bytes.
struct RTPStream: BitwiseCopyable {
  private var window: SequenceWindow
  private(set) var source: UInt32
  /// The timestamp and arrival of the last frame's first packet. The further packets of a frame have the same
  /// timestamp, and no regular time.
  private var timestamp: UInt32
  private var arrival: UInt32
  private var jitter = Jitter()
  private var clock: TimestampClock
  /// Whether two packets with consecutive numbers have arrived (RFC 3550 appendix A.1, MIN_SEQUENTIAL): one packet may
  /// be anything that looks like RTP.
  private(set) var isProven = false

  /// - Parameter arrival: microseconds on any clock; they wrap.
  init(_ header: RTPHeader, arrival: UInt32) {
    window = SequenceWindow(first: header.sequenceNumber)
    source = header.source
    timestamp = header.timestamp
    self.arrival = arrival
    clock = TimestampClock(timestamp: header.timestamp, arrival: arrival)
  }

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try window.code(with: &coder)
    try coder.code(&source)
    try coder.code(&timestamp)
    try coder.code(&arrival)
    try jitter.code(with: &coder)
    try clock.code(with: &coder)
    try coder.code(&isProven)
  }

  /// Missing numbers that may still arrive.
  var missing: UInt32 { isProven ? window.missing : 0 }

  /// Microseconds; nil while unknown.
  var jitterMicroseconds: UInt32? { jitter.microseconds }

  /// Microseconds of silence after which another stream replaces this one; shorter for one that is not proven.
  private static let silence: UInt32 = 2_000_000
  private static let silenceOfUnproven: UInt32 = 500_000

  /// Whether another stream may replace this one.
  func hasEnded(at now: UInt32) -> Bool { now &- arrival > (isProven ? Self.silence : Self.silenceOfUnproven) }

  /// Records a packet of this stream; nil if it does not count, because the stream is not proven yet.
  @inline(__always)
  mutating func record(_ header: RTPHeader, arrival now: UInt32) -> SequenceWindow.Order? {
    guard isProven else { return prove(header, arrival: now) }
    let order = window.record(header.sequenceNumber)
    switch order {
    case .next: if header.timestamp != timestamp { beginFrame(header, arrival: now) }
    case .restarted: resume(header, arrival: now)
    case .late, .duplicate, .outside: break
    }
    return order
  }

  @inline(never)
  private mutating func prove(_ header: RTPHeader, arrival now: UInt32) -> SequenceWindow.Order? {
    guard case .next(0) = window.record(header.sequenceNumber), window.missing == 0 else {
      self = RTPStream(header, arrival: now)
      return nil
    }
    isProven = true
    beginFrame(header, arrival: now)
    return .next(lost: 0)
  }

  @inline(__always)
  private mutating func beginFrame(_ header: RTPHeader, arrival now: UInt32) {
    if let expected = clock.microseconds(Int32(bitPattern: header.timestamp &- timestamp)) {
      jitter.record(Int64(now &- arrival) &- expected)
    }
    clock.observe(timestamp: header.timestamp, arrival: now)
    timestamp = header.timestamp
    arrival = now
  }

  /// Continues after a restart of the sender, whose new timestamps begin with any number.
  private mutating func resume(_ header: RTPHeader, arrival now: UInt32) {
    timestamp = header.timestamp
    arrival = now
    clock = TimestampClock(timestamp: header.timestamp, arrival: now)
  }
}
