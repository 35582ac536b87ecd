internal import NetworkTypes

/// Decides how many packets may be sent now.
struct Pacer {
  let pace: LoadSettings.Pace
  let burst: UInt64
  private let begin: Instant
  private(set) var sent: UInt64 = 0
  /// Packets that arrived or count as lost.
  private var settled: UInt64 = 0
  private var lastProgress: Instant

  /// Limit of packets in one turn of the loop, the size of a batch; or one burst, if that is larger.
  private static let limit: UInt64 = 64
  /// Without an arrival for this time, packets in flight count as lost.
  private static let stallTimeout = Duration.milliseconds(100)

  init(_ pace: LoadSettings.Pace, burst: Int, now: Instant) {
    self.pace = pace
    self.burst = UInt64(max(burst, 1))
    begin = now
    lastProgress = now
  }

  /// The number of packets to send now, in whole bursts.
  @inline(__always)
  mutating func allowance(now: Instant) -> Int {
    let open: UInt64
    switch pace {
    case .window(let size):
      let window = max(UInt64(size), burst)
      var underWay = sent > settled ? sent - settled : 0
      if underWay + burst > window, now.duration(since: lastProgress) > Self.stallTimeout {
        // Lost packets must not keep the window closed.
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
  mutating func countSent(_ count: Int) { sent += UInt64(count) }

  @inline(__always)
  mutating func countSettled(_ count: UInt64, now: Instant) {
    guard count > 0 else { return }
    settled += count
    lastProgress = now
  }

  /// Whether the next burst is more than 2 ms away, so that the loop may sleep for 1 ms.
  func maySleep(now: Instant) -> Bool {
    guard case .rate(let rate) = pace else { return false }
    let next = Double(sent + burst) * 1e9 / Double(max(rate, 1))
    return next > Double(now.nanoseconds(since: begin)) + 2_000_000
  }
}
