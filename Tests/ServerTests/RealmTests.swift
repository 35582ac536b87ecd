import ClientIO
import Foundation
import NetworkTypes
import Testing
import TestSupport
import TURNClient

extension ServerTests {
  /// Starts a server with three realms: the default one, one for a listener, and one for a server name with its own
  /// store.
  private func withRealms(_ number: UInt16, _ body: (RunningServer, String) throws -> Void) throws {
    let port = Self.port(number)
    let folder = try TemporaryDirectory()
    let text = """
      realm: one
      realms:
        two: { users: { alice: second }, limits: { allocations-per-user: 1 } }
        three: { users: { alice: third }, store: "sqlite:three.db", server-names: [turn.three.test, "*.also.test"] }
      auth: { users: { alice: first } }
      """
    let file = try folder.write(text, to: "turnpike.yml")
    try body(
      RunningServer(
        port: port,
        listeners: "udp://127.0.0.1:\(port),tls://127.0.0.1:\(port + 1),dtls://127.0.0.1:\(port + 1),"
          + "udp://127.0.0.1:\(port + 2)?realm=two,tls://127.0.0.1:\(port + 3)?realm=two",
        users: false, configuration: file, waitsForLine: false), file)
  }

  /// The realm in which an allocation with this password succeeds.
  private func realm(
    _ server: RunningServer, _ password: String, _ transport: TransportProtocol, _ offset: UInt16,
    serverName: String = "localhost", user: String = "alice"
  ) throws -> String? {
    var session = try server.session(
      user, password, transport: transport, port: server.port + offset, serverName: serverName)
    guard code({ () throws(AllocationSession.Failure) in try session.allocate() }) == nil else { return nil }
    defer { _ = try? session.delete() }
    return session.client.realm
  }

  @Test("The listener chooses the realm, and over TLS and DTLS the server name does")
  func realms() throws {
    let cases: [(password: String, transport: TransportProtocol, offset: UInt16, serverName: String, realm: String?)] =
      [
        ("first", .udp, 0, "localhost", "one"), ("first", .tls, 1, "localhost", "one"),
        ("first", .dtls, 1, "localhost", "one"), ("second", .udp, 0, "localhost", nil),
        ("second", .tls, 1, "localhost", nil), ("second", .dtls, 1, "localhost", nil),
        ("second", .udp, 2, "localhost", "two"), ("second", .tls, 3, "localhost", "two"),
        ("first", .udp, 2, "localhost", nil),
        ("third", .tls, 1, "turn.three.test", "three"), ("third", .dtls, 1, "turn.three.test", "three"),
        ("third", .tls, 1, "TURN.Three.test", "three"), ("third", .dtls, 1, "a.also.test", "three"),
        ("third", .tls, 1, "turn.four.test", nil), ("third", .dtls, 1, "turn.four.test", nil),
        // The server name has priority over the listener.
        ("third", .tls, 3, "turn.three.test", "three"),
      ]
    try withRealms(30) { (server: RunningServer, _: String) throws in
      for entry in cases {
        let found = try realm(server, entry.password, entry.transport, entry.offset, serverName: entry.serverName)
        #expect(found == entry.realm, "\(entry)")
      }
    }
  }

  @Test("A realm has its own store and limits")
  func realmsOfTheirOwn() throws {
    try withRealms(31) { (server: RunningServer, file: String) throws in
      var one = try server.session("alice", "second", port: server.port + 2)
      var two = try server.session("alice", "second", port: server.port + 2)
      #expect(code { () throws(AllocationSession.Failure) in try one.allocate() } == nil)
      #expect(code { () throws(AllocationSession.Failure) in try two.allocate() } == 486)
      var three = try server.session("alice", "first")
      #expect(code { () throws(AllocationSession.Failure) in try three.allocate() } == nil)

      let added = try server.command(
        ["user", "add", "carol", "--realm", "three", "--password-stdin", "--config", file],
        input: "sing\n")
      #expect(added.status == 0)
      let known = try realm(server, "sing", .tls, 1, serverName: "turn.three.test", user: "carol")
      let unknown = try realm(server, "sing", .tls, 1, user: "carol")
      #expect(known == "three" && unknown == nil)
    }
  }
}
