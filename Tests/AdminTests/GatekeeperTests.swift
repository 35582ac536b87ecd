internal import Testing
internal import WebServer

@testable internal import Admin

@Suite("Gatekeeper of the admin endpoint")
struct GatekeeperTests {
  private let server = FakeServer()

  private func status(_ token: String, _ request: HTTPRequest) -> UInt32 {
    Router(token: token, server: server).answer(request).status
  }

  @Test(
    "Only the token opens the API",
    arguments: [
      (nil, 401), ("Bearer secret", 200), ("bearer secret", 200), ("Bearer secret ", 401), ("Bearer ", 401),
      ("Bearer secre", 401), ("Bearer secrets", 401), ("Basic c2VjcmV0", 401), ("secret", 401), ("", 401),
    ] as [(String?, UInt32)])
  func token(authorization: String?, expected: UInt32) {
    var asked = request(.get, "/api/v1/status")
    asked.authorization = authorization
    let answer = Router(token: "secret", server: server).answer(asked)
    #expect(answer.status == expected)
    #expect((answer.header("WWW-Authenticate") == "Bearer") == (expected == 401))
    #expect(answer.header("X-Content-Type-Options") == "nosniff" && answer.header("Cache-Control") == "no-store")
    #expect(server.calls.isEmpty == (expected == 401))
  }

  @Test("Health checks and metrics need no token", arguments: ["/healthz", "/readyz", "/metrics"])
  func open(path: String) { #expect(status("secret", request(.get, path, host: "turn.example.org")) == 200) }

  @Test("Every other operation needs the token")
  func closed() {
    for route in Route.all where route.access != .open {
      #expect(status("secret", request(route.method, route.path)) == 401, "\(route.path)")
    }
  }

  @Test("A new token replaces the old one")
  func replaced() {
    let router = Router(token: "old", server: server)
    router.setToken("new")
    #expect(router.answer(request(.get, "/api/v1/status", token: "old")).status == 401)
    #expect(router.answer(request(.get, "/api/v1/status", token: "new")).status == 200)
  }

  @Test("Only pages of admin.allow-origins may ask for credentials, with the token, and for nothing else")
  func origins() {
    let router = Router(token: "secret", server: server)
    let page = "https://app.example.org"
    func answer(
      _ method: HTTPRequest.Method, _ path: String, _ origin: String, _ token: String = "secret"
    ) -> HTTPResponse {
      var asked = request(method, path, token: token)
      asked.origin = origin
      return router.answer(asked)
    }
    let path = "/api/v1/credentials"
    #expect(answer(.post, path, page).status == 403)
    #expect(answer(.options, path, page).status == 405)
    router.setOrigins([page])
    let preflight = answer(.options, path, page, "")
    #expect(preflight.status == 204 && preflight.body.isEmpty)
    #expect(preflight.header("Access-Control-Allow-Origin") == page && preflight.header("Vary") == "Origin")
    #expect(preflight.header("Access-Control-Allow-Methods") == "POST")
    #expect(preflight.header("Access-Control-Allow-Headers") == "authorization, content-type")
    for (token, status) in [("secret", 200), ("wrong", 401)] as [(String, UInt32)] {
      let given = answer(.post, path, page, token)
      #expect(given.status == status && given.header("Access-Control-Allow-Origin") == page)
    }
    for other in ["https://app.example.org:444", "http://app.example.org", "https://evil.example", "null"] {
      let refused = answer(.post, path, other)
      #expect(refused.status == 403 && refused.header("Access-Control-Allow-Origin") == nil)
      #expect(answer(.options, path, other).status == 405)
    }
    for route in Route.all where route.path != path {
      #expect(answer(.options, route.path, page).header("Access-Control-Allow-Origin") == nil, "\(route.path)")
    }
    #expect(answer(.get, "/api/v1/status", page).status == 403)
  }

  @Test("After ten wrong tokens a client waits ten seconds, other clients do not")
  func throttle() {
    let router = Router(token: "secret", server: server)
    func status(_ token: String, from peer: String, at second: UInt64) -> UInt32 {
      router.answer(request(.get, "/api/v1/status", token: token, peer: peer), seconds: second).status
    }
    for _ in 0..<10 { #expect(status("wrong", from: "192.0.2.1", at: 100) == 401) }
    #expect(status("wrong", from: "192.0.2.1", at: 100) == 429)
    // The right token is refused too: another answer would show that it is right.
    #expect(status("secret", from: "192.0.2.1", at: 109) == 429)
    #expect(status("secret", from: "192.0.2.2", at: 109) == 200)
    #expect(status("secret", from: "192.0.2.1", at: 110) == 200)
  }

  @Test(
    "After fifty wrong tokens from one network its other addresses have one attempt each, with the right token too",
    arguments: [("192.0.2.", "192.0.3.1"), ("2001:db8:0:%00::", "2001:db8:1::1")])
  func throttleOfNetwork(network: String, other: String) {
    let router = Router(token: "secret", server: server)
    func status(_ token: String, from peer: String, at second: UInt64 = 100) -> UInt32 {
      router.answer(request(.get, "/api/v1/status", token: token, peer: peer), seconds: second).status
    }
    func peer(_ number: Int) -> String {
      network.contains("%") ? network.replacing("%", with: "\(number)") + "\(number)" : network + "\(number)"
    }
    var answers: [UInt32: Int] = [:]
    for number in 1...20 { for _ in 0..<10 { answers[status("wrong", from: peer(number)), default: 0] += 1 } }
    // Five addresses use the network's fifty up, fifteen have one attempt.
    #expect(answers == [401: 65, 429: 135])
    #expect(status("secret", from: peer(20)) == 429)
    #expect(status("secret", from: peer(21)) == 200)
    #expect(status("wrong", from: other) == 401 && status("secret", from: other) == 200)
    #expect(status("secret", from: peer(20), at: 110) == 200)
  }

  @Test("Only an admitted request with the token ends the charge of its connection")
  func operators() {
    let router = Router(token: "secret", server: server)
    func ends(_ request: HTTPRequest) -> Bool { router.answer(request).isForOperator }
    func asked(_ path: String, _ token: String, origin: String? = nil, peer: String = "192.0.2.1") -> HTTPRequest {
      request(.get, path, token: token, origin: origin, peer: peer)
    }
    #expect(ends(asked("/api/v1/status", "secret")))
    #expect(!ends(asked("/api/v1/status", "wrong")))
    #expect(!ends(asked("/healthz", "secret")) && !ends(asked("/metrics", "secret")))
    #expect(!ends(asked("/", "secret")) && !ends(asked("/nothing", "secret")))
    #expect(!ends(asked("/api/v1/status", "secret", origin: "http://evil.example")))
    for _ in 0..<10 { _ = router.answer(asked("/api/v1/status", "wrong", peer: "192.0.2.9")) }
    #expect(!ends(asked("/api/v1/status", "secret", peer: "192.0.2.9")))
  }

  @Test("A request without a token is refused and guesses nothing")
  func withoutToken() {
    let router = Router(token: "secret", server: server)
    for _ in 0..<20 { #expect(router.answer(request(.get, "/api/v1/status", peer: "192.0.2.1")).status == 401) }
    #expect(router.answer(request(.get, "/api/v1/status", token: "secret", peer: "192.0.2.1")).status == 200)
  }

  @Test("Clients that fill the table do not lock out the clients of other networks")
  func fullTable() {
    let router = Router(token: "secret", server: server)
    func status(_ token: String, _ peer: String) -> UInt32 {
      router.answer(request(.get, "/api/v1/status", token: token, peer: peer)).status
    }
    for number in 0..<1024 {
      _ = status("wrong", "2001:db8:\(number / 256):\(String(number % 256 * 256, radix: 16))::1")
    }
    for _ in 0..<20 { _ = status("wrong", "2001:db8:ff:100::1") }
    #expect(status("secret", "2001:db8:ff:200::1") == 429)
    #expect(status("secret", "203.0.113.7") == 200)
  }

  @Test("An IPv6 /56 counts as one client")
  func throttleOfPrefix() {
    let router = Router(token: "secret", server: server)
    func status(_ token: String, _ peer: String) -> UInt32 {
      router.answer(request(.get, "/api/v1/status", token: token, peer: peer)).status
    }
    for number in 0..<10 { #expect(status("wrong", "2001:db8:0:\(number)::1") == 401) }
    #expect(status("secret", "2001:db8:0:ff::1") == 429)
    #expect(status("secret", "2001:db8:0:100::1") == 200)
  }

  @Test("Clients beyond the limit of the table share one count")
  func manyClients() {
    let router = Router(token: "secret", server: server)
    func status(_ token: String, _ number: Int) -> UInt32 {
      router.answer(request(.get, "/api/v1/status", token: token, peer: "client \(number)")).status
    }
    for number in 0..<1024 { _ = status("wrong", number) }
    for number in 2000..<2010 { #expect(status("wrong", number) == 401) }
    #expect(status("wrong", 3000) == 429)
    #expect(status("wrong", 5) == 401)
  }

  @Test(
    "A page of another origin is refused",
    arguments: [
      ("http://127.0.0.1:8478", 200), ("https://127.0.0.1:8478", 200), ("http://evil.example", 403), ("null", 403),
      ("http://127.0.0.1:8479", 403), ("http://127.0.0.1:8478.evil.example", 403),
    ] as [(String, UInt32)])
  func origin(origin: String, expected: UInt32) {
    #expect(status("", request(.get, "/api/v1/status", origin: origin)) == expected)
    #expect(status("secret", request(.get, "/api/v1/status", token: "secret", origin: origin)) == expected)
  }

  @Test(
    "Without a token the Host must be an address or localhost, against DNS rebinding by another page",
    arguments: [
      ("127.0.0.1:8478", 200), ("[::1]:8478", 200), ("[::1]", 200), ("127.0.0.1", 200), ("localhost", 200),
      ("localhost:8478", 200), ("evil.example:8478", 403), ("evil.example", 403), ("localhost.evil.example", 403),
      (nil, 200),
    ] as [(String?, UInt32)])
  func host(host: String?, expected: UInt32) {
    #expect(status("", request(.get, "/api/v1/status", host: host)) == expected)
    #expect(status("secret", request(.get, "/api/v1/status", token: "secret", host: host)) == 200)
  }

  @Test(
    "A change needs the JSON type, which a form of another page cannot send",
    arguments: [
      ("application/json", 204), ("application/json; charset=utf-8", 204), ("text/plain", 415),
      ("application/x-www-form-urlencoded", 415), ("", 415),
    ] as [(String, UInt32)])
  func contentType(type: String, expected: UInt32) {
    #expect(status("", request(.post, "/api/v1/drain", type: type)) == expected)
  }
}
