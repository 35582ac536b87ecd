internal import JSON
internal import Synchronization
internal import Testing
internal import WebServer

@testable internal import Admin

@Suite("Users and secrets of the admin endpoint")
struct CredentialRouteTests {
  private let server = FakeServer()

  struct Case: Sendable, CustomTestStringConvertible {
    var method: HTTPRequest.Method
    var path: String
    var query: [(String, String)] = []
    var body = ""
    var status: UInt32
    /// The call that the server gets; nil if it gets none.
    var call: String?
    var testDescription: String { "\(method.rawValue) \(path) \(query) \(body)" }
  }

  static let cases = [
    Case(method: .get, path: "/api/v1/users", status: 200, call: "users - - 100"),
    Case(
      method: .get, path: "/api/v1/users", query: [("realm", "r"), ("after", "0-1-2"), ("limit", "500")], status: 200,
      call: "users r 0-1-2 500"),
    Case(method: .get, path: "/api/v1/users", query: [("limit", "501")], status: 400),
    Case(method: .get, path: "/api/v1/users", query: [("name", "a")], status: 400),
    Case(method: .post, path: "/api/v1/users", body: #"{"name":"a"}"#, status: 201, call: "add user a - -"),
    Case(
      method: .post, path: "/api/v1/users", body: #"{"name":"a","realm":"r","password":"p"}"#, status: 201,
      call: "add user a r p"),
    Case(method: .post, path: "/api/v1/users", body: "", status: 400),
    Case(method: .post, path: "/api/v1/users", body: "{}", status: 400),
    Case(method: .post, path: "/api/v1/users", body: "[]", status: 400),
    Case(method: .post, path: "/api/v1/users", body: #"{"name":1}"#, status: 400),
    Case(method: .post, path: "/api/v1/users", body: #"{"name":"a","name":"b"}"#, status: 400),
    Case(method: .post, path: "/api/v1/users", body: #"{"name":"a","pasword":"p"}"#, status: 400),
    Case(method: .post, path: "/api/v1/users", body: #"{"name":"a","password":null}"#, status: 400),
    Case(method: .post, path: "/api/v1/users", query: [("name", "a")], body: #"{"name":"a"}"#, status: 400),
    Case(method: .post, path: "/api/v1/users/password", body: #"{"name":"a"}"#, status: 200, call: "password a - -"),
    Case(
      method: .post, path: "/api/v1/users/password", body: #"{"name":"a","realm":"r","password":"p"}"#, status: 200,
      call: "password a r p"),
    Case(method: .post, path: "/api/v1/users/password", body: "{}", status: 400),
    Case(method: .delete, path: "/api/v1/users/password", query: [("name", "a")], status: 405),
    Case(
      method: .delete, path: "/api/v1/users", query: [("name", "a/b")], status: 200, call: "remove user a/b - false"),
    Case(
      method: .delete, path: "/api/v1/users", query: [("name", "a"), ("realm", "r"), ("close", "true")], status: 200,
      call: "remove user a r true"),
    Case(method: .delete, path: "/api/v1/users", status: 400),
    Case(method: .delete, path: "/api/v1/users", query: [("name", "")], status: 400),
    Case(method: .delete, path: "/api/v1/users", query: [("name", "a"), ("close", "1")], status: 400),
    Case(method: .get, path: "/api/v1/secrets", status: 200, call: "secrets -"),
    Case(method: .get, path: "/api/v1/secrets", query: [("realm", "r")], status: 200, call: "secrets r"),
    Case(method: .post, path: "/api/v1/secrets", body: "{}", status: 201, call: "add secret - -"),
    Case(
      method: .post, path: "/api/v1/secrets", body: #"{"secret":"s","realm":"r"}"#, status: 201,
      call: "add secret r s"),
    Case(method: .post, path: "/api/v1/secrets", body: "null", status: 400),
    Case(
      method: .delete, path: "/api/v1/secrets/7", query: [("close", "true")], status: 200,
      call: "remove secret 7 - true"),
    Case(method: .delete, path: "/api/v1/secrets/+7", status: 400),
    Case(method: .delete, path: "/api/v1/secrets/18446744073709551616", status: 400),
    Case(method: .delete, path: "/api/v1/secrets", status: 405),
  ]

  @Test("A request reaches its operation with its values, or is refused", arguments: cases)
  func route(test: Case) {
    let router = Router(token: "t", server: server)
    let answer = router.answer(request(test.method, test.path, test.query, token: "t", body: test.body))
    #expect(answer.status == test.status, "\(answer.text)")
    #expect(server.calls == (test.call.map { [$0] } ?? []))
    #expect(!answer.text.contains(#""p""#))
  }

  @Test("Without a token changes are refused over TCP, which every local user can open, and allowed on a Unix socket")
  func withoutToken() {
    for route in Route.all where route.access == .keepers {
      let asked = request(route.method, route.path, [("name", "a")], body: #"{"name":"a"}"#)
      let refusal = Router(token: "", server: server).answer(asked)
      #expect(refusal.status == 403 && refusal.text.contains("admin.token"), "\(route.path)")
      #expect(server.calls.isEmpty)
      #expect(Router(token: "", isPrivate: true, server: server).answer(asked).status != 403)
      #expect(Router(token: "t", isPrivate: true, server: server).answer(asked).status == 401)
      server.state.withLock { $0.calls = [] }
    }
    // An empty name of the client is no proof of a Unix socket.
    #expect(
      Router(token: "", server: server).answer(request(.post, "/api/v1/secrets", peer: "", body: "{}")).status == 403)
    #expect(Router(token: "", server: server).answer(request(.get, "/api/v1/users")).status == 200)
  }

  @Test("Every operation that changes users or secrets needs the token")
  func access() {
    let changes = Route.all.filter { route in
      route.method != .get && (route.path.hasPrefix("/api/v1/users") || route.path.hasPrefix("/api/v1/secrets"))
    }
    #expect(changes.count == 5 && changes.allSatisfy { $0.access == .keepers })
  }

  @Test("The OpenAPI document has the members of each body, and which are required")
  func document() throws {
    let operation = try #require(OpenAPI.document["paths"]?["/api/v1/users"]?["post"])
    let schema = try #require(operation["requestBody"]?["content"]?["application/json"]?["schema"])
    #expect(schema["required"] == ["name"] && schema["additionalProperties"] == false)
    #expect(schema["properties"]?["password"]?["type"] == "string")
    #expect(operation["parameters"] == nil && operation["responses"]?["201"] != nil)
    let removal = try #require(OpenAPI.document["paths"]?["/api/v1/users"]?["delete"])
    #expect(removal["parameters"]?[0]?["required"] == true && removal["requestBody"] == nil)
  }
}
