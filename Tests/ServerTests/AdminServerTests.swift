import ClientIO
import Foundation
import JSON
import NetIO
import NetworkTypes
import System
import TestSupport
import Testing
import TURNClient

/// The admin endpoint of the running program.
@Suite("The admin endpoint", .serialized)
struct AdminServerTests {
  static func port(_ number: UInt16) -> UInt16 { PortBlock.admin[number] }

  func start(
    _ number: UInt16, _ settings: [String] = [], listen: String? = nil, configuration: String? = nil
  ) throws -> (RunningServer, AdminClient) {
    let port = Self.port(number)
    let server = try RunningServer(
      port: port, ["admin.listen=\(listen ?? "127.0.0.1:\(port + 2)")", "peers.allow=127.0.0.0/8"] + settings,
      configuration: configuration)
    return (server, AdminClient(port: port + 2, of: server))
  }

  /// Repeats a check, because shards publish their counts ten times a second.
  func soon(_ check: () throws -> Bool) throws -> Bool {
    let deadline = Instant.read().advanced(by: .seconds(5))
    while Instant.read() < deadline {
      if try check() { return true }
      Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(20)))
    }
    return false
  }

  /// Whether a request of a client fails.
  func fails(_ request: () throws(AllocationSession.Failure) -> Void) -> Bool {
    do throws(AllocationSession.Failure) {
      try request()
      return false
    } catch {
      return true
    }
  }

  /// A session in a class, because an array cannot hold a noncopyable value.
  private final class User {
    var session: AllocationSession

    init(_ session: consuming AllocationSession) { self.session = session }
  }

  private func sessions(_ admin: AdminClient, _ query: String = "") throws -> [JSONValue] {
    try admin.document("/api/v1/sessions" + query)["sessions"]?.array ?? []
  }

  // MARK: - Health

  @Test("healthz and readyz answer 200 on a working server")
  func health() throws {
    let (_, admin) = try start(0)
    let health = try admin.ask("GET", "/healthz")
    #expect(health.status == 200 && health.text == "ok\n")
    let readiness = try admin.ask("GET", "/readyz")
    #expect(readiness.status == 200 && readiness.text == "ready\n")
  }

  @Test("During a drain healthz is 200 and readyz 503, and the drain ends with the last allocation")
  func drain() throws {
    let (server, admin) = try start(1, ["drain-timeout=60s"])
    var alice = try server.session()
    try alice.allocate()
    #expect(try admin.ask("POST", "/api/v1/drain").status == 204)
    #expect(server.logs("draining"))
    #expect(try soon { try admin.ask("GET", "/readyz").status == 503 })
    #expect(try admin.ask("GET", "/healthz").status == 200)
    #expect(try admin.document("/api/v1/status")["state"]?.string == "draining")
    #expect(try admin.ask("POST", "/api/v1/drain").status == 204)
    try alice.delete()
    #expect(server.waitForEnd() == 0)
  }

  // MARK: - Metrics

  @Test("Metrics follow an allocation, its traffic and its end")
  func metrics() throws {
    let (server, admin) = try start(2)
    var alice = try server.session()
    try alice.allocate()
    let live = #"turnpike_allocations{transport="udp",family="ipv4",relay_transport="udp"}"#
    #expect(try soon { try admin.metrics()[live] == 1 })
    let sink = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    let peer = SocketAddress(.ipv4Loopback, port: sink.localAddress?.port ?? 0)
    try alice.createPermission([peer])
    for _ in 0..<5 {
      try alice.send([1, 2, 3, 4], to: peer, asIndication: true, until: Instant.read().advanced(by: .seconds(1)))
    }
    #expect(
      try soon {
        let metrics = try admin.metrics()
        return metrics[#"turnpike_relayed_packets_total{direction="to_peers"}"#] == 5
          && metrics[#"turnpike_relayed_bytes_total{direction="to_peers"}"#] == 20
      })
    try alice.delete()
    #expect(
      try soon {
        let metrics = try admin.metrics()
        return metrics[live] == 0 && metrics["turnpike_allocation_lifetime_seconds_count"] == 1
          && metrics[#"turnpike_responses_total{method="allocate",code="0"}"#] == 1
          && metrics[#"turnpike_responses_total{method="allocate",code="401"}"#] == 1
      })
    // A challenge, Allocate, CreatePermission and Refresh; the datagrams are no requests.
    #expect(try admin.metrics()["turnpike_request_seconds_count"] == 4)
    #expect(try admin.metrics()["turnpike_request_seconds_sum"] ?? 0 > 0)
  }

  @Test("A wrong password is counted")
  func failedLogins() throws {
    let (server, admin) = try start(3)
    var wrong = try server.session("alice", "wrong")
    #expect(fails { () throws(AllocationSession.Failure) in try wrong.allocate() })
    #expect(
      try soon {
        try admin.metrics().contains { $0.key.hasPrefix("turnpike_failed_logins_total") && $0.value > 0 }
      })
  }

  @Test("promtool accepts the metrics without a remark")
  func promtool() throws {
    let path = "/usr/bin/promtool"
    guard FileManager.default.isExecutableFile(atPath: path) else {
      print("NOTE: promtool is not installed: it has not checked the metrics")
      return
    }
    let (_, admin) = try start(4)
    let result = try Child.run(path, ["check", "metrics"], input: try admin.ask("GET", "/metrics").text)
    #expect(result.status == 0 && result.errors.isEmpty, "\(result.errors) \(result.output)")
    let open = try admin.ask("GET", "/metrics", headers: ["Accept: application/openmetrics-text"]).text
    #expect(open.hasSuffix("# EOF\n"))
  }

  // MARK: - Sessions

  @Test("The list of sessions has pages and filters; an operator ends one session")
  func sessions() throws {
    let (server, admin) = try start(5)
    let all =
      try (0..<5).map { _ in User(try server.session()) }
      + [User(try server.session("bob", "hunter2", transport: .tcp))]
    for user in all { try user.session.allocate() }
    #expect(try sessions(admin).count == 6)
    #expect(try sessions(admin, "?user=bob").count == 1)
    #expect(try sessions(admin, "?transport=udp&client=127.0.0.1").count == 5)
    #expect(try sessions(admin, "?client=192.0.2.1").isEmpty)
    #expect(try admin.ask("GET", "/api/v1/sessions?client=x").status == 400)
    #expect(try admin.ask("GET", "/api/v1/sessions?after=9-9").status == 400)
    var found: Set<String> = []
    var next: String? = ""
    while let after = next {
      let page = try admin.document("/api/v1/sessions?limit=2" + (after.isEmpty ? "" : "&after=\(after)"))
      let rows = page["sessions"]?.array ?? []
      #expect(rows.count <= 2)
      for row in rows {
        let isNew = found.insert(row["id"]?.string ?? "").inserted
        #expect(isNew)
      }
      next = page["next"]?.string
    }
    #expect(found.count == 6)
    let bob = try #require(try sessions(admin, "?user=bob")[0]["id"]?.string)
    #expect(try admin.document("/api/v1/sessions/\(bob)")["user"]?.string == "bob")
    #expect(try admin.ask("DELETE", "/api/v1/sessions/\(bob)").status == 204)
    #expect(try admin.ask("DELETE", "/api/v1/sessions/\(bob)").status == 404)
    #expect(try admin.ask("GET", "/api/v1/sessions/\(bob)").status == 404)
    #expect(try sessions(admin).count == 5)
    #expect(fails { () throws(AllocationSession.Failure) in try all[5].session.refresh() })
    try all[0].session.refresh()
  }

  @Test("An id that no shard has is 404", arguments: ["0-0-0", "9-0-1", "x", "0-4294967295-1", "0-1", "-1-0-0"])
  func unknownSession(id: String) throws {
    let (_, admin) = try start(6)
    #expect(try admin.ask("GET", "/api/v1/sessions/\(id)").status == 404)
    #expect(try admin.ask("DELETE", "/api/v1/sessions/\(id)").status == 404)
  }

  // MARK: - The interface

  @Test("Every answer fits its schema of the OpenAPI document")
  func schemas() throws {
    let (server, admin) = try start(7, ["auth.secrets=s3cret", "auth.store=sqlite:t.db"])
    var alice = try server.session()
    try alice.allocate()
    let document = try admin.document("/api/v1/openapi.json")
    let schemas = try #require(document["components"]?["schemas"])
    guard case .object(let paths)? = document["paths"] else { throw CocoaError(.coderInvalidValue) }
    let id = try #require(try sessions(admin)[0]["id"]?.string)
    var checked = 0
    for path in paths {
      guard case .object(let operations) = path.value else { continue }
      for operation in operations where operation.name == "get" || path.name.hasSuffix("credentials") {
        guard let schema = operation.value["responses"]?["200"]?["content"]?["application/json"]?["schema"] else {
          continue
        }
        let url = path.name.replacing("{id}", with: id)
        let answer = try admin.document(url, operation.name.uppercased())
        #expect(SchemaCheck(schemas: schemas).faults(answer, schema) == [], "\(path.name)")
        checked += 1
      }
    }
    #expect(checked >= 5)
    let failure = try admin.ask("GET", "/api/v1/none")
    let error = try #require(schemas["Error"])
    #expect(SchemaCheck(schemas: schemas).faults(try JSONValue.decode(failure.text), error) == [])
  }

  @Test("The status has the server's certificate, stores, listeners and shards")
  func status() throws {
    let (_, admin) = try start(8)
    let status = try admin.document("/api/v1/status")
    #expect(status["state"]?.string == "ready" && status["shards"]?.array?.count == 2)
    #expect(status["listeners"]?.array?.count == 4)
    #expect(status["certificate"]?["expires"]?.string?.hasPrefix("20") == true)
    #expect(status["certificate"]?["names"]?.array?.isEmpty == false)
    #expect(try admin.metrics()["turnpike_certificate_expiry_seconds"] ?? 0 > 1_700_000_000)
  }

  @Test("Credentials of the API open an allocation")
  func credentials() throws {
    let (server, admin) = try start(9, ["auth.secrets=s3cret"])
    let made = try admin.document("/api/v1/credentials?user=42&ttl=60", "POST")
    let ice = try #require(made["iceServers"]?[0])
    let name = try #require(ice["username"]?.string)
    #expect(name.hasSuffix(":42"))
    var session = try server.session(name, try #require(ice["credential"]?.string))
    try session.allocate()
    #expect(try sessions(admin, "?user=42").count == 1)
    #expect(try admin.ask("POST", "/api/v1/credentials?realm=none").status == 404)
  }

  @Test("Without a shared secret the API makes no credentials: 409")
  func noSecret() throws {
    let (_, admin) = try start(10)
    #expect(try admin.ask("POST", "/api/v1/credentials").status == 409)
  }

  @Test("The configuration of the API has no secrets")
  func configuration() throws {
    let (_, admin) = try start(11, ["auth.secrets=s3cret-value"])
    let text = try admin.ask("GET", "/api/v1/configuration").text
    #expect(text.contains("realm: turnpike") && !text.contains("s3cret-value") && !text.contains("hunter2"))
  }

  // MARK: - Reload

  @Test("reload answers 204 after a good configuration, and 409 after a wrong one")
  func reload() throws {
    let folder = try TemporaryDirectory()
    let file = try folder.write("software: one\n", to: "t.yml")
    let (server, admin) = try start(12, configuration: file)
    try folder.write("software: two\n", to: "t.yml")
    #expect(try admin.ask("POST", "/api/v1/reload").status == 204)
    #expect(try admin.ask("GET", "/api/v1/configuration").text.contains("software: two"))
    try folder.write("softwear: three\n", to: "t.yml")
    let refused = try admin.ask("POST", "/api/v1/reload")
    #expect(refused.status == 409 && refused.text.contains("configuration"))
    #expect(server.logs("reload-failed"))
    #expect(try admin.ask("GET", "/api/v1/configuration").text.contains("software: two"))
  }
}
