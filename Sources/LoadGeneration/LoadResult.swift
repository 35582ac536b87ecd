internal import NetworkTypes

/// The result of a run.
public struct LoadResult: Sendable {
  /// The unit of the count.
  public enum Unit: String, Sendable {
    case response, cycle, allocation, packet
  }

  public var unit = Unit.packet
  /// The length of the measurement in nanoseconds.
  public var elapsed: UInt64 = 0
  /// Units that the server carried in this time; an echo counts twice.
  public var completed: UInt64 = 0
  /// Packets sent and lost in the whole run, including the warm-up.
  public var sent: UInt64 = 0
  public var lost: UInt64 = 0
  /// Requests that ended in an error.
  public var failures: UInt64 = 0
  /// The first of those errors, as text.
  public var firstFailure: String?
  public var latency = LatencyHistogram()
  /// CPU time in nanoseconds: of the server's process, of its core, of our process.
  public var serverTime: UInt64?
  public var coreTime: UInt64?
  /// Context switches of the server's threads.
  public var serverSwitches: UInt64?
  public var ownTime: UInt64?
  /// Resident bytes of the server's process before the first allocation and after the measurement.
  public var residentBefore: UInt64?
  public var residentAfter: UInt64?
  /// The rate that a search has found.
  public var foundRate: UInt64?
  /// Whether the measurement at that rate confirmed it.
  public var isConfirmed = true
  /// The time to create all allocations, in nanoseconds.
  public var setUp: UInt64 = 0

  public init() {}

  public var perSecond: Double { elapsed > 0 ? Double(completed) * 1e9 / Double(elapsed) : 0 }
  public var lossShare: Double { sent > 0 ? Double(lost) / Double(sent) : 0 }

  /// CPU nanoseconds for each completed unit.
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
