import ClientIO
import Crypto
import Foundation
import JSON
import NetworkTypes
import System
import TestSupport
import Testing
import TURNClient

/// Changes of a running server by operators: users, secrets, and the sessions of those that are removed.
@Suite("Changes through the admin endpoint", .serialized)
struct AdminChangeTests {
  static let token = "t0ken"

  func start(
    _ number: UInt16, _ settings: [String] = [], token: String = Self.token, configuration: String? = nil
  ) throws -> (RunningServer, AdminClient) {
    let port = PortBlock.adminChanges[number]
    let server = try RunningServer(
      port: port,
      ["admin.listen=127.0.0.1:\(port + 2)", "admin.token=\(token)", "auth.store=sqlite:turnpike.db"] + settings,
      configuration: configuration)
    var admin = AdminClient(port: port + 2, of: server)
    admin.token = token
    return (server, admin)
  }

  /// The document of a request that has this status.
  func ask(
    _ admin: AdminClient, _ method: String, _ path: String, _ body: String? = nil, status: Int
  ) throws -> JSONValue {
    let answer = try admin.ask(method, path, body: body)
    #expect(answer.status == status, "\(method) \(path): \(answer.text)")
    return answer.text.isEmpty ? .null : try JSONValue.decode(answer.text)
  }

  /// The error code of this user's Allocate; nil if it succeeds.
  func allocate(_ server: RunningServer, _ user: String, _ password: String) throws -> UInt16? {
    var session = try server.session(user, password)
    return ServerTests().code { () throws(AllocationSession.Failure) in try session.allocate() }
  }

  func closedLines(_ server: RunningServer, _ user: String) -> Int {
    server.logText.split(separator: "\n").count {
      $0.contains("allocation-closed") && $0.contains("user=\(user)") && $0.contains("reason=closed")
    }
  }

  /// A live allocation that stays while this value is used.
  final class Live {
    var session: AllocationSession

    init(_ session: consuming AllocationSession) throws {
      self.session = session
      try self.session.allocate()
    }
  }

  // MARK: - Users

  @Test("A user that is added allocates at once; one that is removed with close loses its sessions and cannot return")
  func users() throws {
    let (server, admin) = try start(0)
    let made = try ask(admin, "POST", "/api/v1/users", #"{"name":"carol"}"#, status: 201)
    let password = try #require(made["password"]?.string)
    #expect(password.count == 22 && made["realm"]?.string == "turnpike")
    let given = try ask(admin, "POST", "/api/v1/users", #"{"name":"dave/x y","password":"p w"}"#, status: 201)
    #expect(given["password"] == nil)
    let carol = try [Live(server.session("carol", password)), Live(server.session("carol", password, transport: .tcp))]
    let dave = try Live(server.session("dave/x y", "p w"))
    // A user of the configuration stays.
    let alice = try Live(server.session())
    let again = try ask(admin, "POST", "/api/v1/users", #"{"name":"carol"}"#, status: 409)
    #expect(again["error"]?.string?.contains("has a user \"carol\" already") == true)
    let removed = try ask(admin, "DELETE", "/api/v1/users?name=carol&close=true", status: 200)
    #expect(removed["closed"] == 2)
    #expect(try allocate(server, "carol", password) == 401)
    // The log comes through a pipe, later than the answers.
    #expect(try AdminServerTests().soon { closedLines(server, "carol") == 2 })
    #expect(
      try ask(admin, "DELETE", "/api/v1/users?name=carol", status: 404)["error"]?.string?.contains("carol") == true)
    #expect(
      try ask(admin, "DELETE", "/api/v1/users?name=alice", status: 409)["error"]?.string
        == "\"alice\" is in auth.users (the configuration file, TURNPIKE_AUTH_USERS or --set), not in the store: remove it "
        + "there, then reload the server (turnpike reload, or SIGHUP); restart it if the user is not in the file")
    #expect(try admin.document("/api/v1/sessions")["sessions"]?.array?.count == 2)
    // Without close the sessions go on.
    let kept = try ask(admin, "DELETE", "/api/v1/users?name=dave%2Fx%20y", status: 200)
    #expect(kept["closed"] == 0)
    try dave.session.refresh()
    try alice.session.refresh()
    #expect(carol.count == 2 && !server.logged(password) && !server.logged("p w"))
    #expect(server.logs("change=user-removed") && server.logged("change=user-added"))
  }

  @Test("After a change only the new password is valid, and live allocations go on")
  func password() throws {
    let (server, admin) = try start(14)
    _ = try ask(admin, "POST", "/api/v1/users", #"{"name":"carol","password":"first"}"#, status: 201)
    let live = try Live(server.session("carol", "first"))
    let path = "/api/v1/users/password"
    let given = try ask(admin, "POST", path, #"{"name":"carol","password":"0ther-pw"}"#, status: 200)
    #expect(given["password"] == nil && given["name"]?.string == "carol")
    // The shards' caches are emptied when the store's change is seen, some milliseconds later.
    #expect(try AdminServerTests().soon { try allocate(server, "carol", "first") == 401 })
    #expect(try allocate(server, "carol", "0ther-pw") == nil)
    let made = try ask(admin, "POST", "/api/v1/users/password", #"{"name":"carol"}"#, status: 200)
    let password = try #require(made["password"]?.string)
    #expect(password.count == 22)
    #expect(try AdminServerTests().soon { try allocate(server, "carol", password) == nil })
    try live.session.refresh()
    #expect(try ask(admin, "POST", "/api/v1/users/password", #"{"name":"nobody"}"#, status: 404)["error"] != nil)
    let configured = try ask(admin, "POST", "/api/v1/users/password", #"{"name":"alice"}"#, status: 409)
    #expect(configured["error"]?.string?.contains("write its new password there, then reload") == true)
    #expect(try ask(admin, "POST", "/api/v1/users/password", #"{"name":"carol","password":""}"#, status: 400) != .null)
    #expect(server.logs("change=password-changed") && !server.logged(password) && !server.logged("0ther-pw"))
  }

  @Test("The list of users has those of the configuration and the store, in pages, and never a key")
  func list() throws {
    let folder = try TemporaryDirectory()
    let file = try folder.write("realms: { example.net: { users: { alice: other } } }\n", to: "t.yml")
    let (server, admin) = try start(1, configuration: file)
    for name in ["u1", "u2", "u3"] {
      _ = try ask(admin, "POST", "/api/v1/users", #"{"name":"\#(name)","password":"p"}"#, status: 201)
    }
    var rows: [JSONValue] = []
    var next: String? = ""
    while let after = next {
      let page = try admin.document("/api/v1/users?limit=2" + (after.isEmpty ? "" : "&after=\(after)"))
      rows += page["users"]?.array ?? []
      next = page["next"]?.string
    }
    let texts = rows.map { row in
      ["source", "realm", "name"].map { row[$0]?.string ?? "-" }.joined(separator: " ")
    }
    #expect(
      texts == [
        "configuration example.net alice", "configuration turnpike alice", "configuration turnpike bob",
        "store turnpike u1", "store turnpike u2", "store turnpike u3",
      ])
    #expect(rows.last?["added"]?.string?.hasPrefix("20") == true)
    let ofRealm = try admin.document("/api/v1/users?realm=example.net")["users"]?.array?.count
    #expect(ofRealm == 1)
    _ = try ask(admin, "GET", "/api/v1/users?realm=none", status: 404)
    for after in ["x", "0-1-2", "0-6g-61", "99999999-61-61", "-1-61-61"] {
      _ = try ask(admin, "GET", "/api/v1/users?after=\(after)", status: 400)
    }
    // The command lists the users that the API has added.
    #expect(try server.command(["user", "list"]).output.split(separator: "\n").count == 3)
  }

  @Test(
    "A user that cannot be stored is refused with the reason",
    arguments: [
      (#"{"name":""}"#, 400), (#"{"name":"a\u0000b"}"#, 400), (#"{"name":"a","password":""}"#, 400),
      (#"{"name":"a","realm":"none"}"#, 404),
    ])
  func refusedUsers(body: String, status: Int) throws {
    let (_, admin) = try start(2)
    #expect(try ask(admin, "POST", "/api/v1/users", body, status: status)["error"] != nil)
  }

  @Test("Without a token nothing is changed, and the answer says what to do")
  func noToken() throws {
    let (server, admin) = try start(3, token: "")
    for (method, path) in [
      ("POST", "/api/v1/users"), ("DELETE", "/api/v1/users?name=a"), ("POST", "/api/v1/secrets"),
      ("DELETE", "/api/v1/secrets/1"),
    ] {
      let error = try ask(admin, method, path, #"{"name":"a"}"#, status: 403)["error"]?.string
      #expect(error?.contains("admin.token") == true)
    }
    #expect(try server.command(["user", "list"]).output.isEmpty)
  }

  @Test("On a Unix socket users are added without a token: the file's mode limits access")
  func unixSocket() throws {
    let folder = try TemporaryDirectory()
    let path = folder.path("admin.sock")
    let (server, _) = try start(11, ["admin.listen=unix:\(path)"], token: "")
    let admin = AdminClient(url: "http://localhost", unixSocket: path)
    _ = try ask(admin, "POST", "/api/v1/users", #"{"name":"carol","password":"p"}"#, status: 201)
    #expect(try allocate(server, "carol", "p") == nil)
    #expect(try ask(admin, "DELETE", "/api/v1/users?name=carol&close=true", status: 200)["closed"] == 1)
  }

  @Test("Without a store nothing can be added: 409")
  func noStore() throws {
    let (_, admin) = try start(4, ["auth.store="])
    _ = try ask(admin, "POST", "/api/v1/users", #"{"name":"a"}"#, status: 409)
    #expect(try admin.document("/api/v1/users")["users"]?.array?.count == 2)
  }

  // MARK: - Secrets

  /// A time-limited name that expires in an hour, and its password.
  private func credential(_ user: String, _ secret: String) -> (name: String, password: String) {
    let name = "\(Int(Date().timeIntervalSince1970) + 3600):\(user)"
    let password = TimeLimitedCredential.password(username: Array(name.utf8), secret: Array(secret.utf8))
    return (name, String(decoding: password, as: UTF8.self))
  }

  @Test("Removing a secret with close ends the sessions that only this secret has signed")
  func secrets() throws {
    let (server, admin) = try start(5, ["auth.secrets=configured"])
    let old = try ask(admin, "POST", "/api/v1/secrets", "{}", status: 201)
    let secret = try #require(old["secret"]?.string)
    let id = try #require(old["id"]?.integer)
    let second = try ask(admin, "POST", "/api/v1/secrets", #"{"secret":"new"}"#, status: 201)
    #expect(second["secret"] == nil)
    _ = try ask(admin, "POST", "/api/v1/secrets", #"{"secret":"new"}"#, status: 409)
    _ = try ask(admin, "POST", "/api/v1/secrets", #"{"secret":"a\nb"}"#, status: 400)
    let list = try admin.document("/api/v1/secrets")["secrets"]?.array ?? []
    #expect(list.map { $0["source"]?.string } == ["configuration", "store", "store"])
    #expect(list.allSatisfy { $0["secret"] == nil })
    let (ofOld, ofNew, ofConfigured) = (
      credential("1", secret), credential("2", "new"), credential("3", "configured")
    )
    // The shards learn of a new secret a moment later.
    #expect(try AdminServerTests().soon { try allocate(server, ofOld.name, ofOld.password) == nil })
    let live = try [ofOld, ofNew, ofConfigured].map { try Live(server.session($0.name, $0.password)) }
    let alice = try Live(server.session())
    let before = try admin.document("/api/v1/sessions?user=1")["sessions"]?.array?.count
    #expect((before ?? 0) >= 1)
    let removed = try ask(admin, "DELETE", "/api/v1/secrets/\(id)?close=true", status: 200)
    #expect(removed["closed"]?.integer.map(Int.init) == before)
    #expect(try allocate(server, ofOld.name, ofOld.password) == 401)
    try live[1].session.refresh()
    try live[2].session.refresh()
    try alice.session.refresh()
    _ = try ask(admin, "DELETE", "/api/v1/secrets/\(id)", status: 404)
    #expect(!server.logged(secret))
  }

  // MARK: - Commands

  @Test("user remove --close and secret remove --close change the store and close through the endpoint")
  func commands() throws {
    let (server, admin) = try start(6, token: "")
    let place = ["--admin", admin.url]
    #expect(try server.command(["user", "add", "carol", "--password-stdin"], input: "p\n").status == 0)
    #expect(try server.command(["secret", "add", "--secret-stdin"], input: "s\n").status == 0)
    let timed = credential("1", "s")
    let carol = try Live(server.session("carol", "p"))
    #expect(try AdminServerTests().soon { try allocate(server, timed.name, timed.password) == nil })
    let one = try Live(server.session(timed.name, timed.password))
    let alice = try Live(server.session())
    #expect(try server.command(["user", "remove", "carol", "--close"] + place).status == 0)
    #expect(try allocate(server, "carol", "p") == 401)
    #expect(try AdminServerTests().soon { closedLines(server, "carol") == 1 })
    #expect(try server.command(["secret", "remove", "1", "--close"] + place).status == 0)
    #expect(try allocate(server, timed.name, timed.password) == 401)
    #expect(try admin.document("/api/v1/sessions")["sessions"]?.array?.count == 1)
    try alice.session.refresh()
    #expect(carol !== one)
  }

  @Test("Every answer about users, secrets and bans fits its schema of the OpenAPI document")
  func schemas() throws {
    let (_, admin) = try start(7, ["auth.secrets=s3cret"])
    let document = try admin.document("/api/v1/openapi.json")
    let check = SchemaCheck(schemas: try #require(document["components"]?["schemas"]))
    for (method, path, query, body, status) in [
      ("POST", "/api/v1/users", "", #"{"name":"a"}"#, 201), ("GET", "/api/v1/users", "?limit=1", nil, 200),
      ("GET", "/api/v1/users", "", nil, 200), ("DELETE", "/api/v1/users", "?name=a&close=true", nil, 200),
      ("POST", "/api/v1/secrets", "", "{}", 201), ("GET", "/api/v1/secrets", "", nil, 200),
      ("DELETE", "/api/v1/sessions", "?user=a", nil, 200),
      ("POST", "/api/v1/bans", "", #"{"address":"192.0.2.1","ttl":60}"#, 201), ("GET", "/api/v1/bans", "", nil, 200),
    ] as [(String, String, String, String?, Int)] {
      let answer = try ask(admin, method, path + query, body, status: status)
      let operation = document["paths"]?[path]?[method.lowercased()]
      let schema = try #require(
        operation?["responses"]?["\(status)"]?["content"]?["application/json"]?["schema"], "\(method) \(path)")
      #expect(check.faults(answer, schema) == [], "\(method) \(path)")
    }
  }
}
