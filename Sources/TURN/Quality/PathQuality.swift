internal import NetworkTypes
internal import Tables

/// The quality of the media that arrives at the relay from one side of an allocation. It always takes 112 bytes.
///
/// Two streams are measured; a further stream only after one of the two has been silent for two seconds. Their loss
/// describes the path, because all streams of one side share it.
struct PathQuality: BitwiseCopyable {
  /// The change that one packet made.
  struct Change: Equatable, BitwiseCopyable {
    /// RTP packets without duplicates.
    var packets: UInt32 = 0
    var lost: UInt32 = 0
  }

  // A packet of the first stream uses only the first 56 bytes: with the slot's header they fit one cache line.
  private var packets: UInt64 = 0
  /// Lost packets of ended sequences and of numbers that have left the windows. `lost`, `late` and `duplicates`
  /// saturate.
  private var lost: UInt32 = 0
  private var late: UInt32 = 0
  private var first: RTPStream
  private var second: RTPStream
  private var duplicates: UInt32 = 0
  private var gaps = Gaps()

  init() {
    let none = RTPStream(RTPHeader(sequenceNumber: 0, timestamp: 0, source: 0), arrival: 0)
    first = none
    second = none
  }

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&packets)
    try coder.code(&lost)
    try coder.code(&late)
    try first.code(with: &coder)
    try second.code(with: &coder)
    try coder.code(&duplicates)
    try gaps.code(with: &coder)
  }

  /// Records a payload.
  ///
  /// - Parameters:
  ///   - offset: where the payload begins in `bytes`, with `count` bytes.
  ///   - now: the beginning of the event loop's turn that received the payload.
  @inline(__always)
  mutating func record(_ bytes: RawSpan, at offset: Int, count: Int, now: Instant) -> Change {
    let arrival = UInt32(truncatingIfNeeded: now.nanoseconds / 1000)
    guard let header = RTPHeader(bytes, at: offset, count: count) else {
      if packets == 0, count > 0 { gaps.record(firstByte: bytes.byte(at: offset), arrival: arrival) }
      return Change()
    }
    if header.source == first.source { return tally(first.record(header, arrival: arrival)) }
    if header.source == second.source { return tally(second.record(header, arrival: arrival)) }
    return begin(header, arrival: arrival)
  }

  @inline(__always)
  private mutating func tally(_ order: SequenceWindow.Order?) -> Change {
    switch order {
    case .next(let missing):
      packets &+= 1
      if missing != 0 { lost = lost.saturatingAdd(missing) }
      return Change(packets: 1, lost: missing)
    case .late:
      packets &+= 1
      late = late.saturatingAdd(1)
      return Change(packets: 1)
    case .restarted(let missing):
      packets &+= 1
      lost = lost.saturatingAdd(missing)
      return Change(packets: 1, lost: missing)
    case .duplicate:
      duplicates = duplicates.saturatingAdd(1)
      return Change()
    case .outside, nil: return Change()
    }
  }

  /// Measures a new stream instead of one that has ended; ignores it if none has.
  @inline(never)
  private mutating func begin(_ header: RTPHeader, arrival: UInt32) -> Change {
    let missing: UInt32
    if first.hasEnded(at: arrival) {
      missing = first.missing
      first = RTPStream(header, arrival: arrival)
    } else if second.hasEnded(at: arrival) {
      missing = second.missing
      second = RTPStream(header, arrival: arrival)
    } else {
      return Change()
    }
    lost = lost.saturatingAdd(missing)
    return Change(lost: missing)
  }

  /// The measurements so far; nil before the first one.
  var summary: MediaQuality? {
    guard packets > 0 else {
      return gaps.jitter.microseconds.map { MediaQuality(basis: .gaps, jitter: .microseconds($0)) }
    }
    var quality = MediaQuality(basis: .rtp)
    quality.packets = packets
    quality.lost = UInt64(lost) + UInt64(first.missing) + UInt64(second.missing)
    quality.late = late
    quality.duplicates = duplicates
    let jitter = [first, second].filter(\.isProven).compactMap(\.jitterMicroseconds).min()
    quality.jitter = jitter.map { .microseconds($0) }
    return quality
  }
}

extension PathQuality {
  /// The regularity of payloads without sequence numbers: the deviation between one gap and the next. Payloads received
  /// in one turn of the event loop have no gap between them.
  private struct Gaps: BitwiseCopyable {
    private var arrival: UInt32 = 0
    private var gap = Gap()
    var jitter = Jitter()

    mutating func code(with coder: inout RecordCoder) throws(RecordError) {
      try coder.code(&arrival)
      try coder.code(&gap.word)
      try jitter.code(with: &coder)
    }

    @inline(__always)
    mutating func record(firstByte: UInt8, arrival now: UInt32) {
      // STUN messages, which are ICE's checks, and RTCP are not media (RFC 7983 section 7).
      guard firstByte > 3, firstByte >> 6 != 2, now != arrival else { return }
      let last = gap
      let length = now &- arrival
      arrival = now
      gap = Gap(length)
      if let length = gap.microseconds, let last = last.microseconds { jitter.record(Int64(length) &- Int64(last)) }
    }
  }

  /// The last gap, or none after a pause, in four bytes; `UInt32?` has eight.
  private struct Gap: BitwiseCopyable {
    /// A longer gap is a pause of the sender.
    private static let longestMicroseconds: UInt32 = 1_000_000

    fileprivate var word = UInt32.max

    init() {}

    @inline(__always)
    init(_ microseconds: UInt32) { if microseconds <= Self.longestMicroseconds { word = microseconds } }

    @inline(__always) var microseconds: UInt32? { word == .max ? nil : word }
  }
}

/// The quality of the media that one side of an allocation sends to the relay, for logs and lists.
public struct MediaQuality: Sendable, Equatable {
  /// The source of the measurements.
  public enum Basis: String, Sendable {
    /// Sequence numbers and timestamps of RTP or SRTP.
    case rtp
    /// Only the gaps between payloads: loss is unknown, and jitter includes the sender's own irregularity.
    case gaps
  }

  public var basis: Basis
  /// RTP packets of the measured streams that have arrived, without duplicates.
  public var packets: UInt64 = 0
  /// Packets that have not arrived.
  public var lost: UInt64 = 0
  /// Packets that have arrived after a later one.
  public var late: UInt32 = 0
  public var duplicates: UInt32 = 0
  /// The jitter of the steadier stream; nil while unknown.
  public var jitter: Duration?

  public init(basis: Basis, jitter: Duration? = nil) {
    self.basis = basis
    self.jitter = jitter
  }

  /// The proportion of lost packets, 0 to 1; nil without RTP.
  public var lossRatio: Double? {
    basis == .rtp && packets > 0 ? Double(lost) / (Double(packets) + Double(lost)) : nil
  }
}

extension UInt32 {
  /// The sum, or the largest number.
  @inline(__always)
  fileprivate func saturatingAdd(_ other: UInt32) -> UInt32 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
