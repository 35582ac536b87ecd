internal import JSON
internal import NetworkTypes
internal import Synchronization
internal import WebServer

/// Finds the operation of a request, and refuses those that are not an operator's. Pure but for its locks: tests call it
/// without a socket.
final class Router: Sendable {
  struct Job: Sendable {
    var route: Route
    var call: Route.Call
  }

  enum Result: Sendable {
    case response(HTTPResponse)
    /// `carryOut` gives the response, and may wait.
    case job(Job)
  }

  private let gatekeeper: Mutex<Gatekeeper>
  private let server: any ServerView

  /// - Parameter isPrivate: whether the file system decides who reaches the endpoint: a Unix socket.
  init(token: String, isPrivate: Bool = false, server: any ServerView) {
    gatekeeper = Mutex(Gatekeeper(token: token, isPrivate: isPrivate))
    self.server = server
  }

  func setToken(_ token: String) { gatekeeper.withLock { $0.token = Array(token.utf8) } }

  func route(_ request: HTTPRequest, now: Instant) -> Result {
    if let page = Page.find(request.path) { return .response(page.answer(request)) }
    var allowed: [String] = []
    for route in Route.all {
      guard let parts = route.match(request.path) else { continue }
      let method = request.method == .head ? .get : request.method
      guard route.method == method else {
        allowed.append(route.method.rawValue)
        continue
      }
      if let refusal = gatekeeper.withLock({ $0.refusal(of: request, for: route.access, now: now) }) {
        return .response(refusal.hardened)
      }
      let job = Job(route: route, call: Route.Call(request: request, parts: parts))
      return route.mayWait ? .job(job) : .response(carryOut(job))
    }
    guard allowed.isEmpty else {
      var response = HTTPResponse(405, json: ["error": "this path has no such method"])
      response.headers.append(.init("Allow", allowed.joined(separator: ", ")))
      return .response(response.hardened)
    }
    return .response(HTTPResponse(404, json: ["error": "there is nothing at this path"]).hardened)
  }

  func carryOut(_ job: Job) -> HTTPResponse {
    do throws(AdminFailure) {
      var call = job.call
      try job.route.check(&call)
      return try job.route.action(call, server).hardened
    } catch {
      return HTTPResponse(error).hardened
    }
  }
}

extension HTTPResponse {
  /// With the headers that every answer has: browsers keep nothing and guess no type.
  var hardened: HTTPResponse {
    var response = self
    response.headers += [.init("Cache-Control", "no-store"), .init("X-Content-Type-Options", "nosniff")]
    return response
  }
}
