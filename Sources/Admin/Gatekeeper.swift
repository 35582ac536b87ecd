internal import Crypto
internal import JSON
internal import NetworkTypes
internal import Rooms
internal import WebServer

/// Decides whether a request comes from an operator.
struct Gatekeeper: Sendable {
  /// The bearer token; empty: every client that reaches the endpoint is an operator.
  var token: [UInt8]
  /// The origins of `admin.allow-origins`.
  var origins: [String] = []
  /// The number of failed tokens of each client, and of each network.
  private var failures: [String: Int] = [:]
  private var networkFailures: [IPAddress: Int] = [:]
  private var windowEnd = Instant(nanoseconds: 0)
  /// Whether the file system decides who reaches the endpoint: a Unix socket.
  private let isPrivate: Bool
  /// The keys of the demo page's rooms; nil without a demo page.
  private let rooms: RoomKeys?

  /// Limits of failed tokens of one client (IPv6: its /56) in ten seconds, and of one network (IPv4 /24, IPv6 /48).
  /// Beyond the second one a client of the network has one attempt.
  private static let failuresPerClient = 10
  private static let failuresPerNetwork = 50
  /// Limit of clients, and of networks, that are counted one by one.
  private static let clientLimit = 1024

  init(token: String, isPrivate: Bool = false, rooms: RoomKeys? = nil) {
    self.token = Array(token.utf8)
    self.isPrivate = isPrivate
    self.rooms = rooms
  }

  /// The refusal of a WebSocket; nil if the page that opens it is ours. The room checks the key in its first message.
  func refusalOfSocket(_ request: HTTPRequest) -> HTTPResponse? {
    guard request.origin != nil else { return HTTPResponse(.forbidden, "a WebSocket needs an Origin") }
    return Self.refusalOfBrowser(request, hasToken: !token.isEmpty)
  }

  /// The headers that let a page of another origin read an answer of this route; none if it may not.
  func headers(for request: HTTPRequest, of route: Route) -> [HTTPField] {
    guard route.takesOrigins, let origin = request.origin, origins.contains(origin) else { return [] }
    return [HTTPField("Access-Control-Allow-Origin", origin), HTTPField("Vary", "Origin")]
  }

  /// The refusal of a request; nil if it may pass.
  ///
  /// - Parameter mayBeForeign: whether the request's page may be of another origin.
  mutating func refusal(
    of request: HTTPRequest, for access: Route.Access, mayBeForeign: Bool = false, now: Instant
  ) -> HTTPResponse? {
    guard access != .open else { return nil }
    if let refusal = Self.refusalOfBrowser(request, hasToken: !token.isEmpty, mayBeForeign: mayBeForeign) {
      return refusal
    }
    if access == .guests, let given = request.authorization, given.lowercased().hasPrefix("room ") {
      // Keys of 144 bits cannot be guessed, so wrong ones are not counted.
      return rooms?.room(ofAuthorization: given) == nil ? HTTPResponse(.forbidden, Self.wrongRoom) : nil
    }
    guard !token.isEmpty else {
      return access == .keepers && !isPrivate ? HTTPResponse(.forbidden, Self.needsToken) : nil
    }
    if now >= windowEnd {
      failures = [:]
      networkFailures = [:]
      windowEnd = now.advanced(by: .seconds(10))
    }
    let address = IPAddress(request.peer)
    let name = address.map { "\($0.family == .ipv6 ? $0.masked(to: 56) : $0)" } ?? request.peer
    let network = address.map { $0.masked(to: $0.family == .ipv6 ? 48 : 24) }
    let client = countedName(name, in: network)
    let isSuspect = network.map { networkFailures[$0, default: 0] >= Self.failuresPerNetwork } ?? false
    guard failures[client, default: 0] < (isSuspect ? 1 : Self.failuresPerClient) else {
      return HTTPResponse(.tooMany, "too many wrong tokens: wait ten seconds")
    }
    if hasToken(request) { return nil }
    // The first request of a page has no token, and guesses nothing.
    if request.authorization != nil { countFailure(of: client, in: network) }
    var response = HTTPResponse(
      .unauthorized, "the request needs Authorization: Bearer TOKEN, with the value of admin.token")
    response.headers.append(.init("WWW-Authenticate", "Bearer"))
    return response
  }

  /// The name under which a client's failures are counted. Clients beyond the limit of the table share the count of their
  /// network, and networks beyond it share one.
  private func countedName(_ client: String, in network: IPAddress?) -> String {
    if failures[client] != nil || failures.count < Self.clientLimit { return client }
    guard let network = network.map({ "\($0)/" }) else { return "" }
    return failures[network] != nil || failures.count < 2 * Self.clientLimit ? network : ""
  }

  private mutating func countFailure(of client: String, in network: IPAddress?) {
    failures[client, default: 0] += 1
    guard let network, networkFailures[network] != nil || networkFailures.count < Self.clientLimit else { return }
    networkFailures[network, default: 0] += 1
  }

  /// Whether a request shows the token; false if there is none.
  func hasToken(_ request: HTTPRequest) -> Bool {
    guard !token.isEmpty, let given = Self.bearer(request.authorization) else { return false }
    return isEqual(given)
  }

  private static let wrongRoom = "this is not the key of the room: links end when the server restarts"

  private static let needsToken =
    "users and secrets are changed here only with admin.token, or through admin.listen=unix:/PATH: "
    + "every user of this host reaches this address; turnpike user and turnpike secret change the store itself"

  /// Compares digests, so that the time tells nothing about the token and its length.
  private func isEqual(_ given: [UInt8]) -> Bool {
    var context = HashContext(.sha256)
    return context.hash(given.span.rawBytes) == context.hash(token.span.rawBytes)
  }

  /// Refuses requests that another web page makes through the operator's browser.
  ///
  /// A page of another origin sends its Origin, and needs a CORS-preflight request before it can send a JSON type; only
  /// the origins in `admin.allow-origins` pass that. A page whose name was changed to our address (DNS rebinding) sends
  /// its own name as Host; without a token only addresses and `localhost` are accepted.
  private static func refusalOfBrowser(
    _ request: HTTPRequest, hasToken: Bool, mayBeForeign: Bool = false
  ) -> HTTPResponse? {
    let host = request.host ?? ""
    if !mayBeForeign, let origin = request.origin, origin != "http://" + host, origin != "https://" + host {
      return HTTPResponse(.forbidden, "requests of other web pages are refused")
    }
    if !hasToken, !host.isEmpty, !isLocal(host) {
      return HTTPResponse(.forbidden, "without admin.token the Host must be an IP address or localhost")
    }
    let changes = request.method == .post || request.method == .put || request.method == .patch
    if changes, request.contentType?.hasPrefix("application/json") != true {
      return HTTPResponse(.unsupportedType, "Content-Type: application/json is needed")
    }
    return nil
  }

  private static func isLocal(_ host: String) -> Bool {
    if SocketAddress(host) != nil || IPAddress(host) != nil { return true }
    if host.hasPrefix("["), host.hasSuffix("]"), IPAddress(String(host.dropFirst().dropLast())) != nil { return true }
    let name = host.prefix { $0 != ":" }
    return name == "localhost"
  }

  private static func bearer(_ authorization: String?) -> [UInt8]? {
    guard let authorization, authorization.lowercased().hasPrefix("bearer ") else { return nil }
    return Array(authorization.dropFirst(7).utf8)
  }
}

extension HTTPResponse {
  enum Refusal: UInt32 {
    case unauthorized = 401
    case forbidden = 403
    case unsupportedType = 415
    case tooMany = 429
  }

  init(_ refusal: Refusal, _ reason: String) { self.init(refusal.rawValue, json: ["error": .string(reason)]) }
}
