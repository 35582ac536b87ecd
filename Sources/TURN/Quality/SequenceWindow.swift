internal import Tables

/// The last 64 sequence numbers of a stream, and which of them have arrived (RFC 3550 appendix A.1). A number counts as
/// lost when it leaves the window without having arrived, so neither reordering nor duplicates falsify the count.
struct SequenceWindow: BitwiseCopyable {
  /// The verdict on a packet.
  enum Order: Equatable {
    /// It has the highest number so far; `lost` earlier numbers have left the window without having arrived.
    case next(lost: UInt32)
    /// It is late: a higher number has arrived before.
    case late
    /// Its number has arrived already.
    case duplicate
    /// It is too late to count, or its number is too far away to belong to the sequence.
    case outside
    /// It is the second consecutive packet of another sequence: the sender has restarted. The missing numbers of the
    /// old sequence are lost.
    case restarted(lost: UInt32)
  }

  /// MAX_DROPOUT of RFC 3550: a longer gap is no loss but a restart.
  static let longestGap: UInt16 = 3000
  /// MAX_MISORDER of RFC 3550: packets behind the window by less are only too late.
  private static let longestDelay: UInt16 = 100
  private static let width: UInt16 = 64

  /// Bit n: `highest - n` has arrived. Numbers before the first one count as arrived.
  private var arrived = UInt64.max
  private var highest: UInt16
  /// The number with which a restarted sequence would continue.
  private var restart: UInt16

  init(first: UInt16) {
    highest = first
    // The number that is farthest away. With a nearer one, a single late packet would look like a restart.
    restart = first &+ 0x8000
  }

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&arrived)
    try coder.code(&highest)
    try coder.code(&restart)
  }

  /// Missing numbers that may still arrive.
  var missing: UInt32 { UInt32(truncatingIfNeeded: (~arrived).nonzeroBitCount) }

  @inline(__always)
  mutating func record(_ number: UInt16) -> Order {
    let ahead = number &- highest
    if ahead == 1 {
      let lost = UInt32(truncatingIfNeeded: 1 &- (arrived >> 63))
      arrived = arrived << 1 | 1
      highest = number
      return .next(lost: lost)
    }
    return recordOther(number, ahead)
  }

  @inline(never)
  private mutating func recordOther(_ number: UInt16, _ ahead: UInt16) -> Order {
    if ahead == 0 { return .duplicate }
    if ahead <= Self.longestGap { return skip(to: number, by: ahead) }
    let behind = 0 &- ahead
    if behind < Self.width {
      let bit = UInt64(1) << UInt64(behind)
      if arrived & bit != 0 { return .duplicate }
      arrived |= bit
      return .late
    }
    guard behind >= Self.longestDelay else { return .outside }
    guard number == restart else {
      restart = number &+ 1
      return .outside
    }
    let lost = missing
    self = SequenceWindow(first: number)
    return .restarted(lost: lost)
  }

  private mutating func skip(to number: UInt16, by ahead: UInt16) -> Order {
    highest = number
    guard ahead < Self.width else {
      let lost = missing &+ UInt32(ahead &- Self.width)
      arrived = 1
      return .next(lost: lost)
    }
    let leaving = arrived >> UInt64(Self.width &- ahead)
    arrived = arrived << UInt64(ahead) | 1
    return .next(lost: UInt32(ahead) &- UInt32(truncatingIfNeeded: leaving.nonzeroBitCount))
  }
}
