internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURN
internal import Tables

/// Asks the shards about their allocations. Only one thread may use it: two questions at a time would take each other's
/// answers.
final class SessionPages: Sendable {
  private let shards: Mutex<[Mailbox<ShardMessage>]>
  let realmNames: [String]
  // It is created at the start, because the system call filter refuses new descriptors later. A late answer has the
  // number of an earlier question.
  private let answers: Mailbox<SessionQuestion.Answer>
  private let lastNumber = Atomic<UInt64>(0)

  /// The longest wait for one shard's answer.
  private static let timeout = Duration.seconds(1)

  init(realmNames: [String]) throws(Errno) {
    shards = Mutex([])
    self.realmNames = realmNames
    answers = try Mailbox(capacity: 16)
  }

  /// Sets the shards, which start after this is created.
  func use(_ mailboxes: [Mailbox<ShardMessage>]) { shards.withLock { $0 = mailboxes } }

  var shardCount: Int { shards.withLock { $0.count } }

  /// The reason why there is no answer.
  enum Failure: Error {
    case busy(shard: Int)
    case silent(shard: Int)
  }

  func ask(_ shard: Int, _ request: SessionQuestion.Request) throws(Failure) -> SessionQuestion.Answer.Kind {
    let mailbox = shards.withLock { $0.indices.contains(shard) ? $0[shard] : nil }
    guard let mailbox else { throw .silent(shard: shard) }
    let number = lastNumber.wrappingAdd(1, ordering: .relaxed).newValue
    let question = SessionQuestion(number: number, request: request, answers: answers)
    guard mailbox.post(.sessions(question), unlessMoreThan: 1024) else { throw .busy(shard: shard) }
    let deadline = Instant.read().advanced(by: Self.timeout)
    while true {
      let now = Instant.read()
      answers.wait(for: deadline.duration(since: now))
      if let answer = answers.takeAll().first(where: { $0.number == number }) { return answer.kind }
      guard now < deadline else { throw .silent(shard: shard) }
    }
  }

  /// Calls `body` with each live session of all shards; a shard that does not answer is left out.
  func visit(_ body: (SessionRecord) -> Void) {
    for shard in 0..<shardCount {
      var slot: UInt32? = 0
      while let from = slot, let answer = try? ask(shard, .list(from: from, SessionFilter(), limit: 500)),
        case .rows(let rows, let next) = answer
      {
        for row in rows { body(record(row, shard: shard)) }
        slot = next
      }
    }
  }

  func record(_ row: SessionSummary, shard: Int) -> SessionRecord {
    SessionRecord(
      id: SessionID(shard: shard, handle: row.allocation.id).text,
      realm: realmNames[Int(row.allocation.realm.rawValue)], allocation: row.allocation)
  }
}
