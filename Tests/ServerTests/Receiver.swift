import JSON
import NetworkTypes
import Synchronization
import System
import WebServer

/// An HTTP server of the tests, which answers with a closure and keeps the requests.
final class Receiver {
  struct Got: Sendable {
    var request: HTTPRequest
    var document: JSONValue?
    /// The events in the document. The request lacks the signature headers, because this server keeps only standard
    /// headers; other tests read them.
    var events: [JSONValue] { document?["events"]?.array ?? [] }
  }

  private let server: HTTPServer
  private let arrivals: Mailbox<Got>
  private(set) var all: [Got] = []

  /// - Parameter answer: gets each request and its number, from 1.
  init(port: UInt16, answer: @escaping @Sendable (HTTPRequest, Int) -> HTTPResponse?) throws {
    let arrivals = try Mailbox<Got>(capacity: 4096)
    let count = Atomic<Int>(0)
    let counter = Counter(count)
    server = try HTTPServer(HTTPServer.Options(.address("127.0.0.1", port: port))) { request, _ in
      arrivals.post(Got(request: request, document: try? JSONValue.decode(request.body)))
      return answer(request, counter.next())
    }
    self.arrivals = arrivals
    let server = server
    _ = try Thread(name: "receiver") { server.run() }
  }

  private final class Counter: Sendable {
    let value: Atomic<Int>

    init(_ value: consuming Atomic<Int>) { self.value = value }

    func next() -> Int { value.wrappingAdd(1, ordering: .relaxed).newValue }
  }

  deinit { server.stop() }

  /// Waits until the requests so far satisfy a condition; false if they do not in time.
  func waits(seconds: UInt32 = 10, _ isEnough: (Receiver) -> Bool) -> Bool {
    let deadline = Instant.read().advanced(by: .seconds(seconds))
    while true {
      all += arrivals.takeAll()
      if isEnough(self) { return true }
      let now = Instant.read()
      guard now < deadline else { return false }
      arrivals.wait(for: deadline.duration(since: now))
    }
  }

  var events: [JSONValue] { all.flatMap(\.events) }

  func types() -> [String] { events.compactMap { $0["type"]?.string } }
}
