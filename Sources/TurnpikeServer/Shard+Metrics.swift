internal import Metrics
internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN
internal import Tables

/// The counts of a shard that are not the relay's, and the times of their publication.
struct ShardMetrics: ~Copyable {
  /// The shortest time between two publications of a shard, and the time between two measured turns.
  static let interval = Duration.milliseconds(100)
  static let sampleInterval = Duration.milliseconds(10)

  var sessions = SessionCounts()
  var turnTime = ShardSnapshot().turnTime
  var requestTime = ShardSnapshot().requestTime
  /// Requests that the present turn has answered: their answers leave at its end.
  var answersInTurn: UInt64 = 0
  var refusedProxies: UInt64 = 0
  /// Clients' datagrams that the kernel dropped.
  var receiveDrops: UInt64 = 0
  var nextPublication = Instant(nanoseconds: 0)
  var nextSample = Instant(nanoseconds: 0)
  /// Whether something has happened since the last publication.
  var isStale = true

  /// The time of the next publication; nil if there is nothing new. Only a turn that is measured publishes: at an earlier
  /// time the alarm would ring in vain, again and again.
  var publicationTime: Instant? { isStale ? max(nextPublication, nextSample) : nil }

  /// Counts the answer to a request that has waited.
  mutating func recordAnswer(since arrival: Instant) {
    requestTime.record(Double(Instant.read().nanoseconds(since: arrival)) / 1e9)
  }
}

/// Publishes the shard's counts, and answers questions about its allocations.
extension Shard {
  /// Measures a turn, and publishes the counts, each at most once in its interval.
  ///
  /// The alarm alone is not work: it also wakes the shard to publish, so an idle shard would publish for ever.
  @inline(__always)
  mutating func endTurnMetrics(events: Int) {
    if events > 1 || (events == 1 && plane.event(0).token.kind != EventKind.alarm) { metrics.isStale = true }
    if metrics.answersInTurn > 0 { recordAnswers() }
    guard now.instant >= metrics.nextSample else { return }
    sample(events: events)
  }

  /// Reads the clock once for all answers of the turn, and not for a turn that only relays media.
  private mutating func recordAnswers() {
    metrics.requestTime.record(
      Double(Instant.read().nanoseconds(since: now.instant)) / 1e9, count: metrics.answersInTurn)
    metrics.answersInTurn = 0
  }

  private mutating func sample(events: Int) {
    metrics.nextSample = now.instant.advanced(by: ShardMetrics.sampleInterval)
    if events > 0 {
      metrics.turnTime.record(Double(Instant.read().nanoseconds(since: now.instant)) / 1e9)
    }
    if metrics.isStale, now.instant >= metrics.nextPublication { publish() }
  }

  private mutating func publish() {
    metrics.nextPublication = now.instant.advanced(by: ShardMetrics.interval)
    let isPublished = plan.board.publish { fill(&$0) }
    // If another thread reads the board now, a later turn publishes.
    metrics.isStale = !isPublished
  }

  private borrowing func fill(_ snapshot: inout ShardSnapshot) {
    snapshot.relay = relay.counters
    snapshot.sessions = metrics.sessions
    snapshot.connections = streams.count
    snapshot.associations = secureDatagrams.count
    snapshot.pipes = tcp.pipeCount
    snapshot.sendDrops = plane.sends.overflows
    snapshot.receiveDrops = metrics.receiveDrops
    snapshot.turnTime = metrics.turnTime
    snapshot.requestTime = metrics.requestTime
    snapshot.refusedProxies = metrics.refusedProxies
    snapshot.refusedRuns = plane.sends.refusedRuns
    snapshot.processorTime = Thread.processorTime
    snapshot.shardLimits = limitNotices.totals
    snapshot.relayLimits = relay.limitTotals
  }

  // MARK: - Sessions

  /// Limit of slots that one question visits, so that it takes the shard less than a millisecond.
  private static let slotsForQuestion: UInt32 = 4096

  /// Limit of slots that a question visits if it ends allocations: each end may cost some hashes, and closes sockets.
  private static let slotsForEnding: UInt32 = 128

  mutating func answer(_ question: SessionQuestion) {
    switch question.request {
    case .list(let position, let filter, let limit):
      var rows: [SessionSummary] = []
      let next = relay.visitSessions(from: position, slots: Self.slotsForQuestion, now: now) { row in
        if filter.matches(row.allocation) { rows.append(row) }
        return rows.count < limit
      }
      question.answer(.rows(rows, next: next))
    case .show(let handle):
      question.answer(.rows(relay.session(handle, now: now).map { [$0] } ?? [], next: nil))
    case .end(let handle):
      question.answer(.ended(relay.endAllocation(handle, now: now)))
    case .endSelected(let selection, let position):
      let (count, next) = relay.endAllocations(selection, from: position, slots: Self.slotsForEnding, now: now)
      question.answer(.endedSelected(count, next: next))
    }
  }
}
