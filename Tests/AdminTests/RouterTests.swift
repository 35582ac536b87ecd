internal import JSON
internal import Synchronization
internal import Testing
internal import WebServer

@testable internal import Admin

@Suite("Router of the admin endpoint")
struct RouterTests {
  private let server = FakeServer()
  private var router: Router { Router(token: "", server: server) }

  struct Case: Sendable, CustomTestStringConvertible {
    var method: HTTPRequest.Method
    var path: String
    var query: [(String, String)] = []
    var status: UInt32
    /// The call that the server gets; nil if it gets none.
    var call: String?
    var testDescription: String { "\(method.rawValue) \(path) \(query)" }
  }

  static let cases = [
    Case(method: .get, path: "/healthz", status: 200),
    Case(method: .head, path: "/healthz", status: 200),
    Case(method: .get, path: "/readyz", status: 200, call: "probe"),
    Case(method: .get, path: "/metrics", status: 200),
    Case(method: .get, path: "/api/v1/status", status: 200, call: "status"),
    Case(method: .get, path: "/api/v1/configuration", status: 200, call: "configuration"),
    Case(method: .get, path: "/api/v1/sessions", status: 200, call: "sessions - - - 100"),
    Case(
      method: .get, path: "/api/v1/sessions", query: [("user", "al"), ("transport", "udp"), ("limit", "500")],
      status: 200, call: "sessions al - udp 500"),
    Case(method: .get, path: "/api/v1/sessions", query: [("limit", "0")], status: 400),
    Case(method: .get, path: "/api/v1/sessions", query: [("limit", "501")], status: 400),
    Case(method: .get, path: "/api/v1/sessions", query: [("usr", "al")], status: 400),
    Case(method: .get, path: "/api/v1/sessions/0-1-2", status: 200, call: "session 0-1-2"),
    Case(method: .get, path: "/api/v1/sessions/", status: 404),
    Case(method: .get, path: "/api/v1/sessions/1/2", status: 404),
    Case(method: .delete, path: "/api/v1/sessions/0-1-2", status: 204, call: "end 0-1-2"),
    Case(method: .delete, path: "/api/v1/sessions", status: 400),
    Case(method: .delete, path: "/api/v1/sessions", query: [("user", "")], status: 400),
    Case(method: .delete, path: "/api/v1/sessions", query: [("revoked", "false")], status: 400),
    Case(method: .delete, path: "/api/v1/sessions", query: [("user", "al"), ("revoked", "true")], status: 400),
    Case(
      method: .delete, path: "/api/v1/sessions", query: [("user", "al")], status: 200,
      call: #"end user("al") -"#),
    Case(
      method: .delete, path: "/api/v1/sessions", query: [("revoked", "true"), ("realm", "r")], status: 200,
      call: "end revoked r"),
    Case(method: .put, path: "/api/v1/sessions", status: 405),
    Case(method: .get, path: "/api/v1/bans", status: 200, call: "bans"),
    Case(method: .post, path: "/api/v1/bans", status: 400),
    Case(method: .delete, path: "/api/v1/bans", status: 400),
    Case(
      method: .delete, path: "/api/v1/bans", query: [("address", "192.0.2.0/24")], status: 204,
      call: "remove ban 192.0.2.0/24"),
    Case(
      method: .post, path: "/api/v1/captures", query: [("user", "al"), ("seconds", "600")], status: 200,
      call: "capture al 600"),
    Case(method: .post, path: "/api/v1/captures", query: [("user", "al")], status: 200, call: "capture al 60"),
    Case(method: .post, path: "/api/v1/captures", status: 400),
    Case(method: .post, path: "/api/v1/captures", query: [("user", "al"), ("seconds", "601")], status: 400),
    Case(method: .post, path: "/api/v1/captures", query: [("user", "al"), ("seconds", "0")], status: 400),
    Case(method: .get, path: "/api/v1/captures/1", status: 200, call: "capture 1"),
    Case(method: .delete, path: "/api/v1/captures/1", status: 200, call: "end capture 1"),
    Case(method: .get, path: "/api/v1/captures", status: 405),
    Case(method: .post, path: "/api/v1/drain", status: 204, call: "drain"),
    Case(method: .get, path: "/api/v1/drain", status: 405),
    Case(method: .post, path: "/api/v1/drain", query: [("force", "1")], status: 400),
    Case(method: .post, path: "/api/v1/reload", status: 204, call: "reload"),
    Case(method: .post, path: "/api/v1/upgrade", status: 200, call: "upgrade"),
    Case(method: .get, path: "/api/v1/upgrade", status: 405),
    Case(
      method: .post, path: "/api/v1/credentials", query: [("user", "42"), ("ttl", "60")], status: 200,
      call: "credentials 42 60 -"),
    Case(method: .post, path: "/api/v1/credentials", query: [("ttl", "0")], status: 400),
    Case(method: .post, path: "/api/v1/credentials", query: [("ttl", "x")], status: 400),
    Case(method: .post, path: "/api/v1/credentials", query: [("ttl", "99999999")], status: 400),
    Case(method: .get, path: "/api/v1/openapi.json", status: 200),
    Case(method: .get, path: "/api/v1", status: 404),
    Case(method: .get, path: "/api/v1/status/", status: 404),
    Case(method: .get, path: "//healthz", status: 404),
    Case(method: .get, path: "", status: 404),
  ]

  @Test("A request reaches its operation, or is refused", arguments: cases)
  func route(test: Case) {
    let answer = router.answer(request(test.method, test.path, test.query))
    #expect(answer.status == test.status, "\(answer.text)")
    #expect(server.calls == (test.call.map { [$0] } ?? []))
  }

  @Test(
    "A ban has an address and, if given, seconds, a reason and whether sessions end",
    arguments: [
      (#"{"address":"a"}"#, 201, "ban a -  false"),
      (#"{"address":"a","ttl":60,"reason":"r s","close":true}"#, 201, "ban a 60 r s true"),
      (#"{"address":"a","ttl":0}"#, 400, nil), (#"{"address":"a","ttl":-1}"#, 400, nil),
      (#"{"address":"a","ttl":1.5}"#, 400, nil), (#"{"address":"a","ttl":99999999}"#, 400, nil),
      (#"{"address":"a","close":"yes"}"#, 400, nil), (#"{"ttl":60}"#, 400, nil),
    ] as [(String, UInt32, String?)])
  func ban(body: String, status: UInt32, call: String?) {
    let answer = router.answer(request(.post, "/api/v1/bans", body: body))
    #expect(answer.status == status, "\(answer.text)")
    #expect(server.calls == (call.map { [$0] } ?? []))
  }

  @Test("Each answer forbids browsers to store it and to guess its type", arguments: cases)
  func hardened(test: Case) {
    let answer = router.answer(request(test.method, test.path, test.query))
    #expect(answer.header("Cache-Control") == "no-store" && answer.header("X-Content-Type-Options") == "nosniff")
  }

  @Test("405 names the methods that the path has")
  func allow() {
    let answer = router.answer(request(.post, "/api/v1/sessions/1"))
    #expect(answer.status == 405)
    #expect(answer.header("Allow") == "GET, DELETE")
  }

  @Test("A failure of the server has its status and its reason as JSON")
  func failures() throws {
    for (failure, status) in [
      (AdminFailure.invalid("a"), 400), (.notFound("b"), 404), (.conflict("c"), 409), (.unavailable("d"), 503),
    ] as [(AdminFailure, UInt32)] {
      server.fail(failure)
      let answer = router.answer(request(.post, "/api/v1/reload"))
      #expect(answer.status == status && answer.contentType == "application/json")
      #expect(try JSONValue.decode(answer.body)["error"]?.string == failure.reason)
    }
  }

  @Test("While the server drains, healthz gives 200 and readyz 503")
  func draining() {
    server.state.withLock { $0.health.isDraining = true }
    #expect(router.answer(request(.get, "/healthz")).status == 200)
    #expect(router.answer(request(.get, "/readyz")).status == 503)
    #expect(server.calls.isEmpty)
  }

  @Test("A part that does not work makes both checks fail, with the reason")
  func unhealthy() {
    server.state.withLock { $0.health.problem = "shard 1 does not answer" }
    for path in ["/healthz", "/readyz"] {
      let answer = router.answer(request(.get, path))
      #expect(answer.status == 503 && answer.text.contains("shard 1 does not answer"))
    }
  }

  @Test(
    "metrics are OpenMetrics only for clients that ask for it",
    arguments: [
      (nil, "prometheus"), ("*/*", "prometheus"), ("text/plain;version=0.0.4", "prometheus"),
      ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", "openMetrics"),
    ] as [(String?, String)])
  func formats(accept: String?, format: String) {
    let answer = router.answer(request(.get, "/metrics", accept: accept))
    #expect(answer.text == format + "\n")
    #expect(answer.contentType.contains("openmetrics") == (format == "openMetrics"))
  }
}
