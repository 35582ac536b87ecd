internal import Admin
internal import JSON
internal import Metrics
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURN

/// The last hour, for the dashboard.
extension AdminView {
  /// The history, with the times of its last sample.
  struct Past: Sendable {
    var history: History
    var last: Now
  }

  func takeSample() {
    publishBans()
    endOldCapture()
    let counts = Self.counts(boards)
    let now = Now.read()
    past.withLock { past in
      past.history.record(counts, after: now.instant.duration(since: past.last.instant))
      past.last = now
    }
  }

  func recordRequest(after time: Duration) { requestTime.withLock { $0.record(time.fractionalSeconds) } }

  func history() -> JSONValue {
    past.withLock { $0.history.document(end: CivilTime.text($0.last.wall)) }
  }

  static func counts(_ boards: [ShardBoard]) -> History.Counts {
    var counts = History.Counts()
    for snapshot in boards.map({ $0.read() }) {
      counts.allocations += snapshot.sessions.liveCount
      counts.bytesToPeers &+= snapshot.relay.toPeers.bytes
      counts.bytesToClients &+= snapshot.relay.toClients.bytes
      counts.drops &+= snapshot.sendDrops &+ snapshot.receiveDrops
      for cause in DropCause.allCases { counts.drops &+= snapshot.relay.drops(cause) }
      for reason in AuthenticationFailure.Reason.allCases {
        counts.failedLogins &+= snapshot.relay.failedLogins(reason)
      }
    }
    return counts
  }
}
