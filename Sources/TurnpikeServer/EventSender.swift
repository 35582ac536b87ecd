internal import Crypto
internal import JSON
internal import Log
internal import NetworkTypes
internal import Synchronization
internal import System
internal import WebClient

/// Sends the server's events to `events.webhook`, in order, in batches, from a thread of its own.
///
/// At the queue's limit new events are dropped and counted, so that memory is bounded and no shard waits for the
/// receiver. A batch that fails is sent again with growing pauses; a receiver that refuses it (4xx) loses it.
final class EventSender: Sendable {
  /// Limit of waiting events, and of events in one request.
  static let queueLimit = 8192
  static let batchLimit = 200
  /// The first and the longest pause after a failure, and the number of attempts for one batch.
  static let firstPause = Duration.seconds(1)
  static let longestPause = Duration.seconds(60)
  static let attempts = 20

  struct Settings: Sendable, Equatable {
    var url = ""
    var secret = ""
    /// The time between two usage events of a live session; zero: none.
    var usageInterval = Duration.seconds(60)
  }

  struct Counts: Sendable {
    var sent: UInt64 = 0
    var dropped: UInt64 = 0
    var failures: UInt64 = 0
  }

  private enum Item: Sendable {
    case event(ServerEvent)
    case settings(Settings)
    case stop
  }

  private let queue: Mailbox<Item>
  private let counted = Mutex(Counts())
  private let log: Log
  private let pages: SessionPages

  init(_ pages: SessionPages, log: Log) throws(Errno) {
    queue = try Mailbox(capacity: Self.queueLimit + 16)
    self.pages = pages
    self.log = log
  }

  var counts: Counts { counted.withLock { $0 } }

  /// Adds an event; never waits.
  func post(_ event: ServerEvent) {
    if queue.post(.event(event), unlessMoreThan: Self.queueLimit) { return }
    counted.withLock { $0.dropped += 1 }
    log.limited(
      .warning, "limit-reached", source: "waiting-events", ("limit", "waiting-events"),
      ("key", .text(LimitText.fixed)), ("effect", "events are not sent to the webhook"))
  }

  func use(_ settings: Settings) { queue.post(.settings(settings)) }

  func stop() { queue.post(.stop) }

  // MARK: - On the thread

  /// The body of the thread.
  func run(_ first: Settings) {
    guard let client = HTTPClient() else { return }
    var settings = first
    var waiting: [ServerEvent] = []
    var nextUsage = Instant.read().advanced(by: settings.usageInterval)
    while true {
      // The queue may have events whose wake-up a pause between two attempts has consumed.
      if waiting.isEmpty, queue.isEmpty {
        queue.wait(for: settings.usageInterval == .zero ? nil : nextUsage.duration(since: .read()))
      }
      for item in queue.takeAll() {
        switch item {
        case .event(let event): waiting.append(event)
        case .settings(let new): settings = new
        case .stop: return finish(waiting, settings, client)
        }
      }
      if settings.usageInterval != .zero, Instant.read() >= nextUsage {
        nextUsage = Instant.read().advanced(by: settings.usageInterval)
        if !settings.url.isEmpty { pages.visit { waiting.append(ServerEvent(.usage($0))) } }
      }
      while !waiting.isEmpty {
        let batch = Array(waiting.prefix(Self.batchLimit))
        waiting.removeFirst(batch.count)
        guard deliver(batch, &settings, client) else { return }
      }
    }
  }

  /// Tries once to deliver each batch that is left when the server ends; stops at the first failure.
  private func finish(_ waiting: [ServerEvent], _ settings: Settings, _ client: HTTPClient) {
    guard !settings.url.isEmpty else { return }
    var rest = waiting[...]
    while !rest.isEmpty {
      let batch = Array(rest.prefix(Self.batchLimit))
      rest = rest.dropFirst(batch.count)
      guard case .delivered = attempt(batch, settings, client) else { return }
    }
  }

  private enum Outcome {
    case delivered
    case refused(String)
    case failed(String)
  }

  /// Sends a batch until it is delivered, refused, or has failed too often; false after `stop`.
  private func deliver(_ batch: [ServerEvent], _ settings: inout Settings, _ client: HTTPClient) -> Bool {
    guard !settings.url.isEmpty else { return true }
    var pause = Self.firstPause
    for number in 1...Self.attempts {
      switch attempt(batch, settings, client) {
      case .delivered:
        counted.withLock { $0.sent += UInt64(batch.count) }
        return true
      case .refused(let problem):
        return lose(batch, problem)
      case .failed(let problem):
        counted.withLock { $0.failures += 1 }
        if number == Self.attempts { return lose(batch, problem) }
        log.limited(
          .warning, "webhook-failed", ("problem", .text(problem)), ("effect", "the events are sent again"))
      }
      guard sleep(pause, &settings) else { return false }
      pause = min(pause * 2, Self.longestPause)
    }
    return true
  }

  private func lose(_ batch: [ServerEvent], _ problem: String) -> Bool {
    counted.withLock { $0.dropped += UInt64(batch.count) }
    log.limited(
      .error, "webhook-refused", ("problem", .text(problem)), ("events", .number(batch.count)),
      ("effect", "these events are lost"))
    return true
  }

  /// Waits between two attempts; false after `stop`. New settings end the wait, and events stay in the queue.
  private func sleep(_ pause: Duration, _ settings: inout Settings) -> Bool {
    let end = Instant.read().advanced(by: pause)
    while Instant.read() < end {
      queue.wait(for: min(end.duration(since: .read()), .milliseconds(200)))
      var change: Settings?
      var stops = false
      queue.removeAll { item in
        switch item {
        case .settings(let new):
          change = new
          return true
        case .stop:
          stops = true
          return true
        case .event: return false
        }
      }
      if stops { return false }
      if let change {
        settings = change
        return true
      }
    }
    return true
  }

  private func attempt(_ batch: [ServerEvent], _ settings: Settings, _ client: HTTPClient) -> Outcome {
    let document: JSONValue = ["events": .array(batch.map(\.json))]
    let body = Array(document.encode().utf8)
    var request = HTTPClient.Request(url: settings.url)
    request.method = "POST"
    request.body = body
    request.headers = ["Content-Type: application/json", "User-Agent: turnpike", "Expect:"]
    if !settings.secret.isEmpty { request.headers += WebhookSignature.headers(body, secret: settings.secret) }
    do throws(HTTPClient.Failure) {
      let answer = try client.send(request)
      switch answer.status {
      case 200..<300: return .delivered
      // Codes of a busy or failing receiver, which may accept the batch later.
      case 408, 425, 429, 500...: return .failed("the webhook answers \(answer.status)")
      default: return .refused("the webhook answers \(answer.status)")
      }
    } catch {
      return .failed(error.description)
    }
  }
}

/// The signature by which a receiver knows that events are this server's: HMAC-SHA256 over the time, a dot and the
/// body. The time lets the receiver refuse replayed requests.
enum WebhookSignature {
  static func headers(_ body: [UInt8], secret: String) -> [String] {
    let time = "\(Now.read().wall)"
    return ["Turnpike-Timestamp: \(time)", "Turnpike-Signature: sha256=\(value(body, time: time, secret: secret))"]
  }

  static func value(_ body: [UInt8], time: String, secret: String) -> String {
    var context = HMACContext(.sha256)
    let key = Array(secret.utf8)
    let message = Array((time + ".").utf8) + body
    let digest = context.authenticate(message.span.rawBytes, key: key.span.rawBytes)
    return Hexadecimal.text(digest.array)
  }
}
