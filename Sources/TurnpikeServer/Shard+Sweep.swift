internal import Metrics
internal import NetIO
internal import NetworkTypes
internal import TURN

/// What is done once a second.
extension Shard {
  /// What memory is held for.
  var tenantCount: Int { relay.allocationCount + connections.count + associations.count }
  static let memorySlack = 256

  /// After a crowd has left, what it had used goes back to the kernel: the heap keeps freed memory otherwise.
  private mutating func giveMemoryBack() {
    let count = tenantCount
    if memoryPeak > 2 * count + Self.memorySlack {
      memoryPeak = count
      blocks.release()
      plan.reports.post(.memoryFreed(shard: plan.index))
    } else {
      memoryPeak = max(memoryPeak, count)
    }
  }

  mutating func sweep() {
    nextSweep = now.instant.advanced(bySeconds: 1)
    giveMemoryBack()
    sweepConnections()
    sweepAssociations()
    sweepPipes()
    if endpoints.isNearlyFull { reclaimEndpoints() }
    if droppedForSlowStreams > 0 {
      plan.log.limited(.info, "stream-clients-slow", ("media-dropped", "\(droppedForSlowStreams)"))
      droppedForSlowStreams = 0
    }
    if plane.sends.refusedRuns > 0, !hasToldOfRefusedRuns {
      hasToldOfRefusedRuns = true
      plan.log.info(
        "segmentation-refused", ("reason", "the kernel does not cut runs on some route"),
        ("effect", "there each datagram is sent by itself"))
    }
    for place in pausedListeners where streamListeners.isTaken(place) {
      try? plane.loop.modify(
        streamListeners[place].rawValue, EventToken(kind: EventKind.streamListener, index: UInt32(place)),
        reads: true, writes: false)
    }
    pausedListeners = []
  }

  /// Numbers of endpoints that no client is known by any more.
  private mutating func reclaimEndpoints() {
    var used = relay.endpointsInUse()
    for index in 0..<connections.upperBound where connections.isTaken(index) {
      used.insert(connections[index].path.endpoint)
    }
    for index in 0..<associations.places.upperBound where associations.places.isTaken(index) {
      used.insert(associations.places[index].path.endpoint)
    }
    endpoints.reclaim(keeping: used)
  }
}
