internal import Credentials
internal import Crypto
internal import JSON
internal import Log
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURN
internal import WebClient

/// Asks `auth.hook` for users that neither the configuration nor a store has, on threads of its own.
///
/// It fails closed: without a valid answer the request gets 500, and the client may try again. After some failures in a
/// row the hook is not asked for a while (a circuit breaker), so that waiting requests do not accumulate.
final class HookService: Sendable {
  static let threads = 4
  /// Limit of users that wait for one thread.
  static let queueLimit = 64
  /// The number of failures in a row that open the breaker; its first open time, doubled with each further failure; and
  /// its longest open time.
  static let failureLimit = 5
  static let firstRest = Duration.seconds(1)
  static let longestRest = Duration.seconds(30)
  /// The longest wait for an answer.
  static let timeout = Duration.seconds(3)

  struct Counts: Sendable {
    var found: UInt64 = 0
    var unknown: UInt64 = 0
    var failures: UInt64 = 0
    /// Look-ups that were not sent to the hook, because the queue was full or the breaker open.
    var refused: UInt64 = 0
  }

  private struct Breaker: Sendable {
    var failures = 0
    var rest = HookService.firstRest
    var opensUntil = Instant(nanoseconds: 0)
  }

  private enum Item: Sendable {
    case lookUp(CredentialService.LookUp)
    case stop
  }

  private let url: String
  private let secret: String
  private let realmNames: [String]
  private let queues: [Mailbox<Item>]
  private let turn = Atomic<Int>(0)
  private let breaker = Mutex(Breaker())
  private let counted = Mutex(Counts())
  private let quotas: QuotaLedger
  private let log: Log

  init(url: String, secret: String, realmNames: [String], quotas: QuotaLedger, log: Log) throws(Errno) {
    self.url = url
    self.secret = secret
    self.realmNames = realmNames
    self.quotas = quotas
    self.log = log
    var queues: [Mailbox<Item>] = []
    for _ in 0..<Self.threads { queues.append(try Mailbox(capacity: Self.queueLimit + 1)) }
    self.queues = queues
  }

  var counts: Counts { counted.withLock { $0 } }

  /// Whether the breaker is open.
  var isResting: Bool { breaker.withLock { $0.opensUntil > Instant.read() } }

  /// Asks the hook for a user; the shard gets the answer. False if too many look-ups wait or the breaker is open.
  func lookUp(_ request: CredentialService.LookUp) -> Bool {
    // A hook knows only names. With a hook, challenges do not offer USERHASH, but a client may send it.
    guard case .name = request.user else {
      post(.keys(ticket: request.ticket, realm: request.realm, user: request.user, nil), for: request)
      return true
    }
    guard !isResting else { return refuse() }
    let index = turn.wrappingAdd(1, ordering: .relaxed).oldValue
    if queues[abs(index % Self.threads)].post(.lookUp(request), unlessMoreThan: Self.queueLimit - 1) { return true }
    return refuse()
  }

  private func refuse() -> Bool {
    counted.withLock { $0.refused += 1 }
    return false
  }

  func stop() { for queue in queues { queue.post(.stop) } }

  // MARK: - On its threads

  /// The body of one thread.
  func run(_ index: Int) {
    guard let client = HTTPClient() else { return }
    let queue = queues[index]
    while true {
      queue.wait()
      for item in queue.takeAll() {
        switch item {
        case .stop: return
        case .lookUp(let request): answer(request, client)
        }
      }
    }
  }

  private func answer(_ request: CredentialService.LookUp, _ client: HTTPClient) {
    guard !isResting else {
      _ = refuse()
      return post(.keysUnavailable(ticket: request.ticket), for: request)
    }
    do throws(Problem) {
      let found = try ask(request, client)
      breaker.withLock { $0 = Breaker() }
      counted.withLock { if found == nil { $0.unknown += 1 } else { $0.found += 1 } }
      if case .name(let name) = request.user {
        quotas.setOwnLimit(found?.allocations, of: name, realm: request.realm)
      }
      let keys = found.map {
        TURN.CredentialKeys(md5: $0.md5, sha256: $0.sha256, bandwidth: $0.bandwidth ?? .unlimited)
      }
      post(
        .keys(ticket: request.ticket, realm: request.realm, user: request.user, keys, lifetime: found?.lifetime),
        for: request)
    } catch {
      fail(error.text)
      post(.keysUnavailable(ticket: request.ticket), for: request)
    }
  }

  private func fail(_ problem: String) {
    counted.withLock { $0.failures += 1 }
    let rests = breaker.withLock { breaker in
      breaker.failures += 1
      guard breaker.failures >= Self.failureLimit else { return false }
      breaker.opensUntil = Instant.read().advanced(by: breaker.rest)
      breaker.rest = min(breaker.rest * 2, Self.longestRest)
      return true
    }
    log.limited(
      .error, "hook-failed", ("problem", .text(problem)),
      ("effect", rests ? "unknown users get 500, and the hook is not asked for a while" : "unknown users get 500"))
  }

  private func post(_ answer: ShardMessage, for request: CredentialService.LookUp) { request.answers.post(answer) }

  struct Problem: Error { var text: String }

  /// Nil if the hook does not know the user.
  private func ask(_ lookUp: CredentialService.LookUp, _ client: HTTPClient) throws(Problem) -> HookAnswer? {
    guard case .name(let name) = lookUp.user else { return nil }
    let realm = realmNames[Int(lookUp.realm.rawValue)]
    let document: JSONValue = [
      "realm": .string(realm), "user": .string(String(decoding: name, as: UTF8.self)),
      "source": .string("\(lookUp.source)"),
    ]
    let body = Array(document.encode().utf8)
    var request = HTTPClient.Request(url: url)
    request.method = "POST"
    request.body = body
    request.timeout = Self.timeout
    request.answerLimit = 16_384
    request.headers = ["Content-Type: application/json", "User-Agent: turnpike", "Expect:"]
    if !secret.isEmpty { request.headers += WebhookSignature.headers(body, secret: secret) }
    let answer: HTTPClient.Answer
    do throws(HTTPClient.Failure) { answer = try client.send(request) } catch {
      throw Problem(text: error.description)
    }
    switch answer.status {
    case 200:
      do throws(HookAnswer.Problem) { return try HookAnswer(answer.body, user: name, realm: realm) } catch {
        throw Problem(text: error.text)
      }
    case 403, 404: return nil
    default: throw Problem(text: "the hook answers \(answer.status)")
    }
  }
}
