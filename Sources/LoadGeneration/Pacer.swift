internal import NetworkTypes

/// Says how many packets may be sent now.
struct Pacer {
  let pace: LoadSettings.Pace
  let burst: UInt64
  private let begin: Instant
  private(set) var sent: UInt64 = 0
  /// What came back or through, and what was given up because nothing came for a while.
  private var settled: UInt64 = 0
  private var lastProgress: Instant

  /// Packets in one turn of the loop: a batch.
  private static let limit: UInt64 = 64
  private static let patience: UInt64 = 100_000_000

  init(_ pace: LoadSettings.Pace, burst: Int, now: Instant) {
    self.pace = pace
    self.burst = UInt64(max(burst, 1))
    begin = now
    lastProgress = now
  }

  /// Whole bursts only.
  @inline(__always)
  mutating func allowance(now: Instant) -> Int {
    let open: UInt64
    switch pace {
    case .window(let size):
      let window = max(UInt64(size), burst)
      var underWay = sent > settled ? sent - settled : 0
      if underWay + burst > window, now.nanoseconds(since: lastProgress) > Self.patience {
        // Lost packets must not close the window for ever.
        settled = sent
        underWay = 0
        lastProgress = now
      }
      open = window > underWay ? window - underWay : 0
    case .rate(let rate):
      let due = UInt64(Double(now.nanoseconds(since: begin)) * Double(rate) / 1e9)
      open = due > sent ? due - sent : 0
    case .search: open = 0
    }
    return Int(min(open, max(Self.limit, burst)) / burst * burst)
  }

  @inline(__always)
  mutating func noteSent(_ count: Int) { sent += UInt64(count) }

  @inline(__always)
  mutating func noteSettled(_ count: UInt64, now: Instant) {
    guard count > 0 else { return }
    settled += count
    lastProgress = now
  }

  /// Whether nothing is due for a millisecond or more, so that sleeping costs no precision.
  func maySleep(now: Instant) -> Bool {
    guard case .rate(let rate) = pace else { return false }
    let next = Double(sent + burst) * 1e9 / Double(max(rate, 1))
    return next > Double(now.nanoseconds(since: begin)) + 2_000_000
  }
}
