internal import JSON
internal import NetworkTypes
internal import Rooms
internal import Synchronization
internal import WebServer

/// Finds the operation of a request, and refuses requests that do not come from an operator. It has locks but no I/O,
/// so tests call it without a socket.
final class Router: Sendable {
  struct Job: Sendable {
    var route: Route
    var call: Route.Call
    /// Further headers of the answer.
    var headers: [HTTPField] = []
    /// Whether the request was admitted with the token.
    var isForOperator = false
  }

  enum Result: Sendable {
    case response(HTTPResponse)
    /// `carryOut` gives the response, and may wait.
    case job(Job)
  }

  private let gatekeeper: Mutex<Gatekeeper>
  private let server: any ServerView
  private let routes: [Route]
  private let pages: [Page]

  /// - Parameters:
  ///   - isPrivate: whether the file system decides who reaches the endpoint: a Unix socket.
  ///   - rooms: the keys of the demo page's rooms; nil without a demo page.
  init(token: String, isPrivate: Bool = false, rooms: RoomKeys? = nil, server: any ServerView) {
    gatekeeper = Mutex(Gatekeeper(token: token, isPrivate: isPrivate, rooms: rooms))
    self.server = server
    routes = Route.all + (rooms.map { [Route.roomAccess($0)] } ?? [])
    pages = Page.all + (rooms == nil ? [] : Page.demo)
  }

  func refusalOfSocket(_ request: HTTPRequest) -> HTTPResponse? {
    gatekeeper.withLock { $0.refusalOfSocket(request) }?.hardened
  }

  func setToken(_ token: String) { gatekeeper.withLock { $0.token = Array(token.utf8) } }

  func setOrigins(_ origins: [String]) { gatekeeper.withLock { $0.origins = origins } }

  func route(_ request: HTTPRequest, now: Instant) -> Result {
    if let page = pages.first(where: { $0.path == request.path }) { return .response(page.answer(request)) }
    var allowed: [String] = []
    for route in routes {
      guard let parts = route.match(request.path) else { continue }
      let headers = gatekeeper.withLock { $0.headers(for: request, of: route) }
      if request.method == .options, !headers.isEmpty { return .response(Self.preflight(route, headers)) }
      let method = request.method == .head ? .get : request.method
      guard route.method == method else {
        allowed.append(route.method.rawValue)
        continue
      }
      let refusal = gatekeeper.withLock {
        $0.refusal(of: request, for: route.access, mayBeForeign: !headers.isEmpty, now: now)
      }
      if let refusal { return .response(refusal.hardened.with(headers)) }
      var job = Job(route: route, call: Route.Call(request: request, parts: parts), headers: headers)
      job.isForOperator = route.access != .open && gatekeeper.withLock { $0.hasToken(request) }
      return route.mayWait ? .job(job) : .response(carryOut(job))
    }
    guard allowed.isEmpty else {
      var response = HTTPResponse(405, json: ["error": "this path has no such method"])
      response.headers.append(.init("Allow", allowed.joined(separator: ", ")))
      return .response(response.hardened)
    }
    let isDemo = request.path == "/demo" || request.path.hasPrefix("/demo/")
    let reason: JSONValue =
      isDemo && pages.count == Page.all.count
      ? "the demo page is off: set admin.demo to true" : "there is nothing at this path"
    return .response(HTTPResponse(404, json: ["error": reason]).hardened)
  }

  /// The answer to a browser that asks whether a page of another origin may make a request (Fetch, "CORS-preflight").
  private static func preflight(_ route: Route, _ headers: [HTTPField]) -> HTTPResponse {
    let permission = [
      HTTPField("Access-Control-Allow-Methods", route.method.rawValue),
      HTTPField("Access-Control-Allow-Headers", "authorization, content-type"),
      HTTPField("Access-Control-Max-Age", "600"),
    ]
    return HTTPResponse(204, "application/json", []).hardened.with(headers + permission)
  }

  func carryOut(_ job: Job) -> HTTPResponse {
    var response = outcome(of: job).hardened.with(job.headers)
    response.isForOperator = job.isForOperator
    return response
  }

  private func outcome(of job: Job) -> HTTPResponse {
    do throws(AdminFailure) {
      var call = job.call
      try job.route.check(&call)
      return try job.route.action(call, server)
    } catch {
      return HTTPResponse(error)
    }
  }
}

extension HTTPResponse {
  func with(_ more: [HTTPField]) -> HTTPResponse {
    var response = self
    response.headers += more
    return response
  }

  /// The response with the headers of every answer: browsers store no answer and guess no type.
  var hardened: HTTPResponse {
    var response = self
    response.headers += [.init("Cache-Control", "no-store"), .init("X-Content-Type-Options", "nosniff")]
    return response
  }
}
