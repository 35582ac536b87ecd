internal import Log
internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN
internal import Tables

/// The counts of the engine that have been logged.
struct EngineReports {
  /// Datagrams dropped at a full send buffer.
  var overflows: UInt64 = 0
  /// Clients' datagrams that the kernel dropped, for each listener's socket.
  var drops: [UInt32] = []
  /// Whether the refusal of UDP_SEGMENT has been logged.
  var hasReportedRefusedRuns = false
}

/// Tasks that run once a second.
extension Shard {
  /// The number of allocations, connections and associations: memory grows with it.
  private var memberCount: Int { relay.allocationCount + streams.count + secureDatagrams.count }
  private static let memorySlack = 256

  /// Whether most clients have left since the peak of memory.
  var holdsMuchMemory: Bool { memoryPeak > 2 * memberCount + Self.memorySlack }

  /// Returns memory to the kernel after most clients have left; the heap would keep it.
  private mutating func releaseMemory() {
    if holdsMuchMemory {
      memoryPeak = memberCount
      blocks.release()
      plan.reports.post(.memoryFreed(shard: plan.index))
    } else {
      memoryPeak = max(memoryPeak, memberCount)
    }
  }

  mutating func sweep() {
    nextSweep = now.instant.advanced(by: .seconds(1))
    releaseMemory()
    if streams.hasDiscarded {
      streams.hasDiscarded = false
      plan.handshakes.freeWaiting()
    }
    sweepConnections()
    sweepAssociations()
    sweepPipes()
    retryLookUps()
    reportOverflows()
    reportDrops()
    if endpoints.isNearlyFull { reclaimEndpoints() }
    if plane.sends.refusedRuns > 0, !engineReports.hasReportedRefusedRuns {
      engineReports.hasReportedRefusedRuns = true
      plan.log.info(
        "segmentation-refused", ("reason", "the kernel refuses UDP_SEGMENT on some route"),
        ("effect", "datagrams on that route are sent one by one"))
    }
    for listener in streams.takePausedListeners() {
      try? plane.loop.modify(
        streams[listener].socket.rawValue,
        EventToken(kind: EventKind.streamListener, streams.handle(of: listener)), reads: true, writes: false)
    }
  }

  /// Frees the numbers of endpoints without clients.
  private mutating func reclaimEndpoints() {
    var used = relay.endpointsInUse()
    var connections = SlotWalk<Connection>()
    while let connection = streams.next(&connections) {
      used.insert(streams[connection].path.endpoint)
    }
    var associations = SlotWalk<Association>()
    while let association = secureDatagrams.next(&associations) {
      used.insert(secureDatagrams[association].path.endpoint)
    }
    endpoints.reclaim(keeping: used)
  }
}
