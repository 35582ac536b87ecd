internal import Crypto
internal import NetworkTypes
internal import Rooms
internal import Synchronization
public import System
public import WebServer

/// The admin endpoint: health, metrics, the API and the dashboard over HTTP.
///
/// The HTTP thread answers requests that need not wait; one worker carries out the others, in order. No shard waits for
/// these threads.
public final class AdminService: Sendable {
  private let http: HTTPServer
  private let router: Router
  private let work: Mailbox<Work>
  private let server: any ServerView
  private let rooms: RoomKeys?

  /// Limit of requests that wait for the worker; further ones get 503.
  private static let waitingLimit = 32

  private enum Work: Sendable {
    /// A request, and the time at which it came.
    case run(HTTPServer.ExchangeID, Router.Job, since: Instant)
    case stop
  }

  /// The reason why the endpoint cannot be opened.
  public enum Failure: Error, Sendable {
    case cannotListen
    case system(Errno)
  }

  /// Opens the listener; `serve` and `carryOut` handle its requests.
  ///
  /// - Parameter roomSecret: makes the keys of the demo page's rooms; nil: there is no demo page.
  public init(
    _ options: HTTPServer.Options, token: String, roomSecret: [UInt8]? = nil, server: any ServerView
  ) throws(Failure) {
    let work: Mailbox<Work>
    do throws(Errno) { work = try Mailbox(capacity: Self.waitingLimit + 1) } catch { throw .system(error) }
    let isPrivate = if case .unixSocket = options.endpoint { true } else { false }
    let rooms = roomSecret.map { RoomKeys(secret: $0) }
    let router = Router(token: token, isPrivate: isPrivate, rooms: rooms, server: server)
    var options = options
    if let rooms { options.webSockets = RoomDoor(rooms, router) }
    do throws(HTTPServer.Failure) {
      http = try HTTPServer(options) { request, exchange in
        let start = Instant.read()
        switch router.route(request, now: start) {
        case .response(let response):
          server.recordRequest(since: start)
          return response
        case .job(let job):
          if work.post(.run(exchange, job, since: start), unlessMoreThan: Self.waitingLimit) { return nil }
          return HTTPResponse(.unavailable("too many requests wait")).hardened
        }
      }
    } catch {
      throw .cannotListen
    }
    self.work = work
    self.router = router
    self.rooms = rooms
    self.server = server
  }

  /// Whether requests are not yet answered, or answers not yet read; any thread may ask.
  public var isAnswering: Bool { http.isAnswering }

  /// The part of a room's link after the address of the demo page: `#NAME.KEY`; nil without a demo page.
  public func roomLink(_ name: String) -> String? { rooms.map { "#\(name).\($0.key(of: name))" } }

  /// Replaces the token, after a reload.
  public func setToken(_ token: String) { router.setToken(token) }

  /// Replaces the origins whose pages may ask for credentials, after a reload.
  public func setOrigins(_ origins: [String]) { router.setOrigins(origins) }

  /// The body of the HTTP thread.
  public func serve() { http.run() }

  /// The body of the thread that carries out requests that may wait.
  public func carryOut() {
    let interval = History.interval
    var nextSample = Instant.read().advanced(by: interval)
    while true {
      work.wait(for: nextSample.duration(since: .read()))
      if Instant.read() >= nextSample {
        server.takeSample()
        // The C library keeps the freed memory of many TLS connections until `trim`.
        if http.hasFreedMemory() { Heap.trim() }
        nextSample = nextSample.advanced(by: interval)
      }
      for item in work.takeAll() {
        switch item {
        case .run(let exchange, let job, let start):
          http.answer(exchange, router.carryOut(job))
          server.recordRequest(since: start)
        case .stop: return
        }
      }
    }
  }

  /// Ends both threads.
  public func stop() {
    http.stop()
    work.post(.stop)
  }
}

extension ServerView {
  fileprivate func recordRequest(since start: Instant) {
    recordRequest(after: Instant.read().duration(since: start))
  }
}
