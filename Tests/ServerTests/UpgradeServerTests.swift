import ClientIO
import Crypto
import Foundation
import JSON
import NetIO
import NetworkTypes
import System
import TestSupport
import Testing
import TURNClient
import WebClient

/// The server starts a newer process of its program and hands its sockets and records over.
@Suite("An upgrade without dropping a call", .serialized)
struct UpgradeServerTests {
  var soon: Instant { Instant.read().advanced(by: .seconds(5)) }

  static func port(_ number: UInt16) -> UInt16 { PortBlock.upgrade[number] }

  /// Starts a server with a drain-timeout of an hour, so that the older process keeps its TLS and DTLS clients.
  private func start(
    _ engine: String, _ port: UInt16, _ settings: [String] = ["peers.allow=127.0.0.0/8"],
    environment: [String: String] = [:]
  ) throws -> RunningServer {
    try RunningServer(
      port: port, ["engine=\(engine)", "admin.listen=127.0.0.1:\(port + 2)"] + settings, environment: environment,
      drainTimeout: "1h")
  }

  private func upgrade(_ server: RunningServer, _ port: UInt16) throws -> JSONValue {
    let answer = try AdminClient(port: port + 2, of: server).ask("POST", "/api/v1/upgrade")
    try #require(answer.status == 200, "\(answer.text) \(server.logText)")
    return try JSONValue.decode(Array(answer.text.utf8))
  }

  @Test(
    "A client's channel, permission and queued datagrams go on; over TLS and DTLS in the older process", .tags(.slow),
    arguments: Engines.available, [TransportProtocol.udp, .tcp, .tls, .dtls])
  func conversation(engine: String, transport: TransportProtocol) throws {
    let server = try start(engine, Self.port(0))
    let peer = try EchoPeer()
    let address = peer.address
    var session = try server.session(transport: transport)
    try session.allocate()
    try session.bindChannel(to: address)
    func exchange(_ round: UInt8) throws {
      let data = [UInt8](repeating: round, count: 100)
      try session.send(data, to: address, until: soon)
      try #require(peer.echo(until: soon) == data)
      let back = try #require(try session.receiveData(until: soon), "round \(round)")
      try #require(back.data == data && back.peer == address)
    }
    try exchange(1)
    let report = try upgrade(server, Self.port(0))
    #expect(report["allocations"]?.integer == (transport.isSecure ? 0 : 1))
    #expect(report["kept"]?.integer == (transport.isSecure ? 1 : 0))
    for round in 2..<20 { try exchange(UInt8(round)) }
    // The credentials, the nonce and the session are valid in the newer process.
    try session.createPermission([address])
    try exchange(20)
    try session.delete()
    #expect(server.logs("predecessor-ended"))
    #expect(server.isRunning)
  }

  @Test("Clients of both processes reach each other, and new clients reach the newer process")
  func both() throws {
    let port = Self.port(1)
    // Loopback addresses are no peers here: only the relays of the two processes are.
    let server = try start("epoll", port, [])
    var secure = try server.session(transport: .tls)
    try secure.allocate()
    var plain = try server.session()
    try plain.allocate()
    _ = try upgrade(server, port)
    var new = try server.session("bob", "hunter2")
    try new.allocate()
    func send(_ from: inout AllocationSession, _ to: inout AllocationSession) throws {
      let source = try #require(from.client.grant?.relayedAddresses.first)
      let target = try #require(to.client.grant?.relayedAddresses.first)
      try from.createPermission([target])
      try to.createPermission([source])
      try from.send([1, 2, 3], to: target, until: soon)
      let heard = try #require(try to.receiveData(until: soon))
      #expect(heard.data == [1, 2, 3] && heard.peer == source)
    }
    try send(&secure, &plain)
    try send(&plain, &secure)
    try send(&secure, &new)
    try send(&new, &secure)
    try send(&plain, &new)
  }

  @Test("Bans survive two upgrades; SIGTERM reaches the last process, and the first process ends with its status")
  func twice() throws {
    let port = Self.port(2)
    let server = try start("auto", port)
    var session = try server.session()
    try session.allocate()
    let admin = AdminClient(port: port + 2, of: server)
    #expect(try admin.ask("POST", "/api/v1/bans", body: #"{"address":"192.0.2.1"}"#).status < 300)
    let first = try upgrade(server, port)
    try awaitEnds(1, of: server)
    try awaitAnswer(admin)
    let second = try upgrade(server, port)
    #expect(first["process"]?.integer != second["process"]?.integer && second["allocations"]?.integer == 1)
    try awaitEnds(2, of: server)
    try awaitAnswer(admin)
    #expect(try admin.ask("GET", "/api/v1/bans").text.contains("192.0.2.1"))
    let metrics = try admin.metrics()
    #expect(metrics[#"turnpike_upgrades_total{outcome="done"}"#] == 2)
    #expect(metrics[#"turnpike_upgrade_allocations_total{outcome="moved"}"#] == 2)
    try session.refresh()
    try session.delete()
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
  }

  @Test("Under a service manager the newer process is the manager's child from its start, and the older one ends")
  func serviceManager() throws {
    let port = Self.port(5)
    let server = try start("auto", port, environment: ["NOTIFY_SOCKET": "@turnpike-upgrade-tests-\(getpid())"])
    let newer = try #require(try upgrade(server, port)["process"]?.integer.flatMap { Int32(exactly: $0) })
    defer { kill(newer, SIGKILL) }
    let status = try String(contentsOfFile: "/proc/\(newer)/status", encoding: .utf8)
    let parent = status.split(separator: "\n").first { $0.hasPrefix("PPid:") }?.split(separator: "\t").last
    #expect(parent.map(String.init) != "\(server.processIdentifier)", "\(status)")
    #expect(server.waitForEnd() == 0)
    try awaitAnswer(AdminClient(port: port + 2, of: server))
  }

  @Test(
    "Process 1 of a container stays until the newer process ends, also with NOTIFY_SOCKET",
    .enabled(if: geteuid() == 0, "a process namespace needs root"))
  func container() throws {
    let port = Self.port(7)
    let server = try RunningServer(
      port: port, ["admin.listen=127.0.0.1:\(port + 2)"],
      environment: ["NOTIFY_SOCKET": "@turnpike-upgrade-tests-\(getpid())"],
      wrapper: ["/usr/bin/unshare", "--pid", "--fork", "--kill-child"])
    let admin = AdminClient(port: port + 2, of: server)
    for count in 1...2 {
      _ = try upgrade(server, port)
      try awaitEnds(count, of: server)
      try awaitAnswer(admin)
    }
    var session = try server.session()
    try session.allocate()
    #expect(server.isRunning)
  }

  /// Waits until `count` older processes have lost their clients and their endpoint.
  private func awaitEnds(_ count: Int, of server: RunningServer) throws {
    let deadline = Instant.read().advanced(by: .seconds(10))
    while server.logText.components(separatedBy: "predecessor-ended").count <= count {
      try #require(Instant.read() < deadline, "\(server.logText)")
      Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(20)))
    }
  }

  /// Waits until the newest process has the endpoint.
  private func awaitAnswer(_ admin: AdminClient) throws {
    let deadline = Instant.read().advanced(by: .seconds(10))
    while Instant.read() < deadline {
      if let answer = try? admin.ask("GET", "/healthz"), answer.status == 200 { return }
      Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(20)))
    }
    Issue.record("the endpoint does not answer")
  }

  @Test("The counts of a session, a capture and the rooms of the demo page go on in the newer process")
  func state() throws {
    let port = Self.port(4)
    let server = try start("epoll", port, ["peers.allow=127.0.0.0/8", "admin.demo=true", "log.level=info"])
    let admin = AdminClient(port: port + 2, of: server)
    let key = try admin.document("/demo/access?room=tea")["key"]?.string
    #expect(key?.count == 24)
    let sink = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    let peer = SocketAddress(.ipv4Loopback, port: sink.localAddress?.port ?? 0)
    var session = try server.session()
    try session.allocate()
    try session.bindChannel(to: peer)
    #expect(try admin.ask("POST", "/api/v1/captures?user=alice&seconds=60").status < 300)
    #expect(server.logs("capture-started"))
    // When the shards answer this request, they have started the capture.
    _ = try admin.document("/api/v1/sessions")
    for _ in 0..<3 { try session.send([UInt8](repeating: 1, count: 100), to: peer, until: soon) }
    try session.refresh()
    _ = try upgrade(server, port)
    for _ in 0..<4 { try session.send([UInt8](repeating: 2, count: 100), to: peer, until: soon) }
    try session.refresh()
    try awaitEnds(1, of: server)
    try awaitAnswer(admin)
    let row = try admin.document("/api/v1/sessions")["sessions"]?[0]
    #expect(row?["to-peers"]?["packets"]?.integer == 7 && row?["to-peers"]?["bytes"]?.integer == 700)
    #expect(try admin.document("/demo/access?room=tea")["key"]?.string == key)
    _ = try admin.document("/api/v1/sessions")
    try session.refresh()
    let capture = try JSONValue.decode(try admin.ask("DELETE", "/api/v1/captures/1").text)
    // Refresh requests with their answers; the newer process takes the capture up when its endpoint starts.
    #expect((4...6).contains(capture["messages"]?.integer ?? 0), "\(capture)")
    #expect(try admin.ask("GET", "/api/v1/captures/1").status == 200)
    try session.delete()
    #expect(server.logs(" to-peers-packets=7 to-peers-bytes=700 "))
  }

  @Test("A wrong configuration leaves the older process serving, and the operator gets the reason")
  func wrongConfiguration() throws {
    let port = Self.port(3)
    let folder = FileManager.default.temporaryDirectory.appending(path: "turnpike-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appending(path: "turnpike.yml")
    try "realm: turnpike\n".write(to: file, atomically: true, encoding: .utf8)
    let server = try RunningServer(
      port: port, ["admin.listen=127.0.0.1:\(port + 2)"], configuration: file.path, directory: folder)
    var session = try server.session()
    try session.allocate()
    try "nonsense: 1\n".write(to: file, atomically: true, encoding: .utf8)
    let answer = try AdminClient(port: port + 2, of: server).ask("POST", "/api/v1/upgrade")
    #expect(answer.status == 409 && answer.text.contains("unknown key"), "\(answer.text)")
    #expect(server.logs("upgrade-failed"))
    let metrics = try AdminClient(port: port + 2, of: server).metrics()
    #expect(metrics[#"turnpike_upgrades_total{outcome="failed"}"#] == 1)
    #expect(metrics[#"turnpike_upgrades_total{outcome="done"}"#] == 0)
    try session.refresh()
  }

  @Test("A capture that goes on shows the names that the newer process's log.privacy allows")
  func capturePrivacy() throws {
    let port = Self.port(6)
    let folder = try TemporaryDirectory()
    func configure(_ privacy: String) throws -> String {
      try folder.write(
        """
        listeners: ["udp://127.0.0.1:\(port)"]
        relay: { addresses: [127.0.0.1] }
        auth: { users: { alice: secret } }
        admin: { listen: "127.0.0.1:\(port + 2)" }
        log: { privacy: \(privacy) }

        """, to: "turnpike.yml")
    }
    let server = try RunningServer(
      port: port, ["state-directory=\(folder.path("state"))"], configuration: try configure("full"),
      isConfiguredByFile: true)
    let admin = AdminClient(port: port + 2, of: server)
    #expect(try admin.ask("POST", "/api/v1/captures?user=alice&seconds=60").status < 300)
    #expect(server.logs("capture-started"))
    var session = try server.session()
    try session.allocate()
    _ = try configure("none")
    _ = try upgrade(server, port)
    try awaitEnds(1, of: server)
    try awaitAnswer(admin)
    // When the shards answer this request, they have started the capture.
    _ = try admin.document("/api/v1/sessions")
    try session.refresh()
    let ended = try JSONValue.decode(try admin.ask("DELETE", "/api/v1/captures/1").text)
    #expect(ended["messages"]?.integer == 4, "\(ended)")
    // The Allocate shows the hash of the name, the Refresh does not.
    let client = try #require(HTTPClient())
    let file = try client.send(HTTPClient.Request(url: admin.url + "/api/v1/captures/1")).body
    let hash = LongTermKey.userHash(username: Array("alice".utf8), realm: Array("turnpike".utf8)).bytes.copied()
    let found = file.indices.count { file[$0...].starts(with: hash) }
    #expect(found == 1)
    try session.delete()
  }
}
