internal import Metrics
internal import NetworkTypes
internal import STUN
internal import Synchronization
internal import TURN

/// The counts of a shard for metrics, as they were at most a tenth of a second ago.
struct ShardSnapshot: Sendable {
  var relay = RelayCounters()
  var sessions = SessionCounts()
  /// TCP and TLS connections, DTLS associations and connections to peers that are open.
  var connections = 0
  var associations = 0
  var pipes = 0
  /// Datagrams dropped at a full send buffer, and clients' datagrams that the kernel dropped at a full receive buffer.
  var sendDrops: UInt64 = 0
  var receiveDrops: UInt64 = 0
  /// The number of times that each limit was reached, by its number; no dictionary, because a shard that relays packets
  /// fills it.
  var shardLimits = InlineArray<32, UInt64>(repeating: 0)
  var relayLimits = InlineArray<32, UInt64>(repeating: 0)
  /// Seconds from the wake-up of a turn to its last send, sampled.
  var turnTime = Histogram(from: 0.000_005, factor: 2, buckets: 16)
  /// Seconds from a request's arrival to its answer.
  var requestTime = Histogram(from: 0.000_005, factor: 2, buckets: 21)
  /// Connections that were closed for their header of the PROXY protocol.
  var refusedProxies: UInt64 = 0
  /// Runs of datagrams for which the kernel refused UDP_SEGMENT; their datagrams were sent one by one.
  var refusedRuns: UInt64 = 0
  /// The CPU time of the shard's thread.
  var processorTime = Duration.zero

  /// The number of drops and refusals at limits and full socket buffers.
  var refusals: UInt64 {
    var sum = receiveDrops &+ sendDrops
    for index in shardLimits.indices { sum &+= shardLimits[index] }
    for index in relayLimits.indices { sum &+= relayLimits[index] }
    return sum
  }
}

/// Allocations by kind.
struct SessionCounts: Sendable {
  private(set) var live: [AllocationKind: Int] = [:]
  private(set) var opened: [AllocationKind: UInt64] = [:]
  private(set) var ended: [EndReason: UInt64] = [:]
  /// Histograms of ended allocations: their lifetimes in seconds, and the bytes of both directions together.
  private(set) var lifetimes = Histogram(bounds: [1, 10, 60, 300, 900, 3600, 14_400, 86_400])
  private(set) var bytes = Histogram(from: 1000, factor: 10, buckets: 8)
  private(set) var quality = QualityCounts()

  var liveCount: Int { live.values.reduce(0, +) }

  /// Every kind, in a stable order.
  static let kinds: [AllocationKind] = TransportProtocol.allCases.flatMap { transport in
    AllocationKind.Families.allCases.flatMap { families in
      [RelayTransport.udp, .tcp].map {
        AllocationKind(transport: transport, families: families, relayTransport: $0)
      }
    }
  }

  mutating func open(_ summary: AllocationSummary) {
    live[summary.kind, default: 0] += 1
    opened[summary.kind, default: 0] += 1
  }

  /// Counts a live allocation that another process has opened.
  mutating func adopt(_ summary: AllocationSummary) { live[summary.kind, default: 0] += 1 }

  mutating func close(_ summary: AllocationSummary, _ reason: EndReason) {
    live[summary.kind, default: 0] -= 1
    ended[reason, default: 0] += 1
    lifetimes.record(Double(summary.age.wholeSeconds))
    bytes.record(Double(summary.toPeers.bytes &+ summary.toClient.bytes))
    quality.record(summary.quality)
  }
}

/// The board on which a shard publishes its counts for other threads.
///
/// A shard skips the publication while a reader copies the counts, so it never waits.
final class ShardBoard: Sendable {
  private let snapshot = Mutex(ShardSnapshot())

  init() {}

  func read() -> ShardSnapshot { snapshot.withLock { $0 } }

  /// Updates the snapshot; false if another thread reads it now.
  func publish(_ update: (inout ShardSnapshot) -> Void) -> Bool {
    snapshot.withLockIfAvailable { update(&$0) } != nil
  }
}
