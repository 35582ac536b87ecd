public import NetworkTypes

/// The result of a run.
public struct LoadResult: Sendable {
  /// The unit of the count.
  public enum Unit: String, Sendable {
    case response, cycle, allocation, packet
  }

  public var unit = Unit.packet
  /// The length of the measurement.
  public var elapsed = Duration.zero
  /// Units that the server carried in this time; an echo counts twice.
  public var completed: UInt64 = 0
  /// Packets sent and lost in the whole run, including the warm-up.
  public var sent: UInt64 = 0
  public var lost: UInt64 = 0
  /// Requests that ended in an error.
  public var failures: UInt64 = 0
  /// The error of the first failed request, as text.
  public var firstFailure: String?
  /// The times from sending to arrival; for an echo and for requests, round trips; for `allocate`, whole cycles.
  public var latency = LatencyHistogram()
  /// CPU time: of the server's process, of its core, of our process.
  public var serverTime: Duration?
  public var coreTime: Duration?
  public var ownTime: Duration?
  /// Context switches of the server's threads.
  public var serverSwitches: UInt64?
  /// Resident memory of the server's process before the first allocation and after the measurement.
  public var residentBefore: ByteCount?
  public var residentAfter: ByteCount?
  /// The rate that a search has found, in packets a second; nil without a search.
  public var foundRate: UInt64?
  /// Whether the measurement at `foundRate` confirmed this rate.
  public var isConfirmed = true
  /// The time to create all allocations.
  public var setUp = Duration.zero

  public init() {}

  /// Completed units per second.
  public var perSecond: Double { elapsed > .zero ? Double(completed) / elapsed.fractionalSeconds : 0 }
  /// Lost packets divided by sent packets: 0 to 1.
  public var lossShare: Double { sent > 0 ? Double(lost) / Double(sent) : 0 }

  /// Nanoseconds of a CPU time for each completed unit; nil without the time or a unit.
  public func nanosecondsEach(_ time: Duration?) -> Double? { time.flatMap { each($0.wholeNanoseconds) } }

  /// A count divided by the number of completed units; nil without a unit.
  public func each(_ count: UInt64) -> Double? { completed > 0 ? Double(count) / Double(completed) : nil }

  mutating func measure(from begin: Reading, to end: Reading) {
    func difference<Amount: AdditiveArithmetic & Comparable>(_ first: Amount?, _ last: Amount?) -> Amount? {
      guard let first, let last, last >= first else { return nil }
      return last - first
    }
    elapsed = end.instant.duration(since: begin.instant)
    serverTime = difference(begin.server, end.server)
    serverSwitches = difference(begin.serverSwitches, end.serverSwitches)
    ownTime = difference(begin.own, end.own)
    coreTime = difference(begin.coreIdle, end.coreIdle).map { max(elapsed - $0, .zero) }
  }
}
