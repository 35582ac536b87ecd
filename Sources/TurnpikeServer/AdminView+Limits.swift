internal import Log
internal import Metrics
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURN
internal import WebServer

/// The admin endpoint's part of the budget for strangers' memory.
struct AdminMemory: MemoryBudget {
  let memory: StrangersMemory

  func charge(_ byteCount: Int) -> Bool { memory.chargeAdmin(byteCount) }

  func release(_ byteCount: Int) { memory.releaseAdmin(byteCount) }

  var isNearlyUsedUp: Bool { memory.isAdminNearlyFull }
}

/// The limits at which the admin endpoint closes connections: a shard's limits, which hold for its clients too.
extension AdminView {
  /// Counts that a limit was reached, and warns at most once in ten seconds.
  func countLimit(_ limit: HTTPServer.Limit, _ client: IPAddress) {
    let limit: ShardLimit =
      switch limit {
      case .memory: .strangersMemory
      case .messagesWithoutData: .handshakeMessages
      }
    let notice = limitNotices.withLock { $0.count(limit, client, now: .read()) }
    if let notice { log.warn(limit.text, notice) }
  }

  func writeLimits(_ snapshots: [ShardSnapshot], _ text: inout MetricsText) {
    let own = limitNotices.withLock { $0.totals }
    text.family("turnpike_limit_reached", .counter, "how often each limit was reached")
    for limit in ShardLimit.allCases {
      let index = Int(limit.rawValue)
      text.sample(snapshots.reduce(own[index]) { $0 &+ $1.shardLimits[index] }, ("limit", limit.text.name))
    }
    for limit in RelayLimit.allCases {
      let index = Int(limit.rawValue)
      text.sample(snapshots.reduce(0) { $0 &+ $1.relayLimits[index] }, ("limit", limit.text(realm: nil).name))
    }
  }
}

extension Log {
  /// Writes one line in ten seconds for each limit, over all shards and the admin endpoint.
  func warn(_ limit: LimitText, _ notice: LimitNotice) {
    limited(
      .warning, "limit-reached", source: limit.name, ("limit", .text(limit.name)), ("client", Self.text(notice.client)),
      ("key", .text(limit.key)), ("times", .number(notice.count)), ("effect", .text(limit.effect)))
  }

  private static func text(_ client: IPAddress) -> LogValue { client.isUnspecified ? "unknown" : "\(client)" }
}
