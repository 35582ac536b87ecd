internal import Configuration
internal import NetIO
internal import NetworkTypes
internal import Synchronization
internal import System
internal import WebClient

/// Looks for the server's public addresses on a thread of its own: at the start, at intervals, and when the host's
/// addresses or the configuration change. Shards never wait for it.
final class PublicAddressService: Sendable {
  /// The result of one search.
  struct Report: Sendable {
    var question: PublicAddressSearch.Question
    var findings: [PublicAddressSearch.Finding]
  }

  struct Counts: Sendable {
    var found: UInt64 = 0
    var failed: UInt64 = 0
  }

  private enum Item: Sendable {
    case question(PublicAddressSearch.Question, interval: Duration)
    case lookAgain
    case stop
  }

  /// The longest pause after a search without an answer.
  static let retryInterval = Duration.seconds(30)
  /// The pause after a change of the host's addresses: a new address cannot be used at once.
  private static let settlingTime = Duration.seconds(2)

  let reports: Mailbox<Report>
  private let queue: Mailbox<Item>
  private let counted = Mutex(Counts())

  init() throws(Errno) {
    reports = try Mailbox(capacity: 64)
    queue = try Mailbox(capacity: 64)
  }

  var counts: Counts { counted.withLock { $0 } }

  /// Searches now, and again at each interval if the question needs look-ups.
  func ask(_ question: PublicAddressSearch.Question, every interval: Duration) {
    queue.post(.question(question, interval: interval))
  }

  func lookAgain() { queue.post(.lookAgain) }

  func stop() { queue.post(.stop) }

  // MARK: - On the thread

  /// The body of the thread.
  func run() {
    guard let client = HTTPClient() else { return }
    var current: (question: PublicAddressSearch.Question, interval: Duration)?
    var next: Instant?
    while true {
      queue.wait(for: next.map { max($0.duration(since: .read()), .zero) })
      for item in queue.takeAll() {
        switch item {
        case .stop: return
        case .question(let question, let interval):
          current = (question, interval)
          next = .read()
        case .lookAgain:
          if next != nil { next = Instant.read().advanced(by: Self.settlingTime) }
        }
      }
      guard let due = next, due <= Instant.read(), let (question, interval) = current else { continue }
      let isFound = search(question, client)
      let pause = isFound ? interval : min(interval, Self.retryInterval)
      next = question.advertise.looksUp ? Instant.read().advanced(by: pause) : nil
    }
  }

  private func search(_ question: PublicAddressSearch.Question, _ client: HTTPClient) -> Bool {
    var search = PublicAddressSearch(question, .world(client))
    let findings = search.run()
    let isFound = findings.allSatisfy { $0.found != nil }
    if question.advertise.looksUp {
      counted.withLock { if isFound { $0.found += 1 } else { $0.failed += 1 } }
    }
    reports.post(Report(question: question, findings: findings))
    return isFound
  }
}

extension PublicAddressSearch {
  /// Searches once, on the calling thread.
  static func run(_ question: Question) -> [Finding] {
    guard let client = HTTPClient() else { return [] }
    var search = PublicAddressSearch(question, .world(client))
    return search.run()
  }
}

extension PublicAddressSearch.Question {
  /// The question of a configuration, for these relay addresses.
  init(_ settings: Settings.RelaySection, locals: [IPAddress]) {
    self.init(locals: locals, advertise: settings.advertise, sources: settings.sources)
  }
}

extension PublicAddressSearch.Outside {
  /// Access to the host's routes, the C library's resolver, the metadata service and STUN servers.
  static func world(_ client: HTTPClient) -> PublicAddressSearch.Outside {
    PublicAddressSearch.Outside(
      mainAddress: { Interfaces.defaultRouteSource(.ipv4) },
      resolve: { name, family throws(PublicAddressSearch.NoAnswer) in
        do throws(ResolutionError) {
          return try Resolver.addresses(of: name, family: family).map(\.address)
        } catch {
          if error == .notFound { return [] }
          throw PublicAddressSearch.NoAnswer("\(error)")
        }
      },
      askCloud: { deadline throws(PublicAddressSearch.NoAnswer) in
        try CloudMetadata(client, until: deadline).ask()
      },
      askSTUN: { server, local, deadline throws(PublicAddressSearch.NoAnswer) in
        try STUNQuestion.ask(server, from: local, until: deadline)
      })
  }
}
