import ClientIO
import JSON
import NetworkTypes
import TestSupport
import Testing

/// The server's own allocation, with which `/readyz` tests relaying.
@Suite("The readiness probe", .serialized)
struct SelfProbeTests {
  private func start(_ number: UInt16, _ settings: [String], listeners: String? = nil) throws -> (
    RunningServer, AdminClient
  ) {
    let port = PortBlock.selfProbe[number]
    let server = try RunningServer(
      port: port, ["admin.listen=127.0.0.1:\(port + 2)"] + settings,
      listeners: listeners?.replacing("PORT", with: "\(port)"))
    return (server, AdminClient(port: port + 2, of: server))
  }

  static let configurations: [(listeners: String, settings: [String])] = [
    ("udp://127.0.0.1:PORT", ["engine=epoll"]),
    ("udp://127.0.0.1:PORT", ["engine=auto"]),
    ("tcp://127.0.0.1:PORT", []),
    // Plain clients are accepted on secure ports, too.
    ("tls://127.0.0.1:PORT", []),
    ("dtls://0.0.0.0:PORT", []),
    ("udp://[::1]:PORT", []),
    ("udp://127.0.0.1:PORT?realm=other", ["realms={other: {users: {carol: secret}}}"]),
    ("udp://127.0.0.1:PORT", ["auth.anonymous=true", "auth.users="]),
    // The rule forbids all of loopback, but never the relayed address of a live allocation.
    ("udp://127.0.0.1:PORT", ["peers.deny=127.0.0.0/8"]),
  ]

  @Test("An allocation of the server's own relays to itself", arguments: configurations.indices)
  func relays(_ number: Int) throws {
    let (listeners, settings) = Self.configurations[number]
    let (server, admin) = try start(UInt16(number), settings, listeners: listeners)
    let answer = try admin.ask("GET", "/readyz")
    #expect(answer.status == 200 && answer.text == "ready\n", "\(answer) \(server.logText)")
    // The probe leaves no session, no count and no log line.
    #expect(try admin.document("/api/v1/sessions")["sessions"]?.array?.isEmpty == true)
    #expect(try admin.metrics()["turnpike_allocation_lifetime_seconds_count"] == 0)
    #expect(!server.logText.contains("allocation-opened") && !server.logText.contains("allocation-closed"))
    #expect(!server.logText.contains("readyz-"))
  }

  @Test("A server that refuses every Allocate is not ready, and the answer has the error code")
  func full() throws {
    let (server, admin) = try start(10, ["limits.allocations=1"])
    var alice = try server.session()
    try alice.allocate()
    let refused = try admin.ask("GET", "/readyz")
    #expect(refused.status == 503 && refused.text.contains("508"), "\(refused)")
    #expect(try admin.ask("GET", "/healthz").status == 200)
  }

  @Test("A server that redirects clients is ready")
  func redirect() throws {
    let (_, admin) = try start(11, ["redirect.server=192.0.2.1:3478"])
    #expect(try admin.ask("GET", "/readyz").status == 200)
  }

  @Test("With TLS listeners only, /readyz asks the shards and allocates nothing")
  func secureOnly() throws {
    let (_, admin) = try start(12, [], listeners: "tls://127.0.0.1:PORT?auto=false")
    #expect(try admin.ask("GET", "/readyz").status == 200)
  }
}
