internal import NetworkTypes

/// What a run has shown.
public struct LoadResult: Sendable {
  /// What is counted.
  public enum Unit: String, Sendable {
    case response, cycle, allocation, packet
  }

  public var unit = Unit.packet
  /// Nanoseconds that were measured.
  public var elapsed: UInt64 = 0
  /// How many the server carried meanwhile: for an echo both ways count.
  public var completed: UInt64 = 0
  /// From the first to the last, warm-up included: what was sent, and what never came back or through.
  public var sent: UInt64 = 0
  public var lost: UInt64 = 0
  /// Requests that ended in an error.
  public var failures: UInt64 = 0
  /// The first of those errors, in words.
  public var firstFailure: String?
  public var latency = LatencyHistogram()
  /// Nanoseconds of CPU: the server's process, its core's busy time, our own process.
  public var serverTime: UInt64?
  public var coreTime: UInt64?
  /// How often the server's threads were switched away from.
  public var serverSwitches: UInt64?
  public var ownTime: UInt64?
  /// Bytes of the server's process: before the first allocation and at the end of the measurement.
  public var residentBefore: UInt64?
  public var residentAfter: UInt64?
  /// The rate that a search has found.
  public var foundRate: UInt64?
  /// Whether the measurement at that rate bore it out.
  public var isConfirmed = true
  /// How long making all allocations took.
  public var setUp: UInt64 = 0

  public init() {}

  public var perSecond: Double { elapsed > 0 ? Double(completed) * 1e9 / Double(elapsed) : 0 }
  public var lossShare: Double { sent > 0 ? Double(lost) / Double(sent) : 0 }

  /// Nanoseconds of CPU for each of `completed`.
  public func each(_ time: UInt64?) -> Double? {
    guard let time, completed > 0 else { return nil }
    return Double(time) / Double(completed)
  }

  mutating func measure(from begin: Reading, to end: Reading) {
    func difference(_ first: UInt64?, _ last: UInt64?) -> UInt64? {
      guard let first, let last, last >= first else { return nil }
      return last - first
    }
    elapsed = end.instant.nanoseconds(since: begin.instant)
    serverTime = difference(begin.server, end.server)
    serverSwitches = difference(begin.serverSwitches, end.serverSwitches)
    ownTime = difference(begin.own, end.own)
    coreTime = difference(begin.coreIdle, end.coreIdle).map { elapsed > $0 ? elapsed - $0 : 0 }
  }
}
