import ClientIO
import Foundation
import NetIO
import NetworkTypes
import STUN
import System
import Testing
import TLS

extension ServerTests {
  private static let info = ["log.level=info"]

  /// Runs a session that allocates, requests a permission for a private peer, sends a packet to another peer and ends.
  private func useRelay(_ server: RunningServer) throws {
    var session = try server.session()
    try session.allocate()
    #expect(
      code { () throws(AllocationSession.Failure) in _ = try session.createPermission([SocketAddress("10.0.0.1:9")!]) }
        == 403)
    let peer = SocketAddress("127.0.0.1:9")!
    _ = try session.bindChannel(to: peer)
    try session.send([1, 2, 3], to: peer, until: soon)
    try session.delete()
  }

  @Test("At info the text log has allocations, refused peers and failed logins")
  func textLines() throws {
    let server = try RunningServer(port: Self.port(90), Self.info + ["peers.allow=127.0.0.0/8"])
    try useRelay(server)
    #expect(server.logs("info allocation-opened id="))
    #expect(server.logs(" realm=turnpike user=alice client=127.0.0.1:"))
    #expect(server.logs("info peer-refused user=alice client=127.0.0.1:"))
    #expect(server.logs("peer=10.0.0.1 rule=10.0.0.0/8"))
    #expect(server.logs("info allocation-closed id="))
    #expect(
      server.logs(
        "reason=deleted seconds=0 to-peers-packets=1 to-peers-bytes=3 to-client-packets=0 to-client-bytes=0 drops=\"\"")
    )
    for (name, password) in [("alice", "wrong"), ("mallory", "secret")] {
      var session = try server.session(name, password)
      #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } == 401)
    }
    #expect(server.logs("info auth-failed user=alice client=127.0.0.1:"))
    #expect(server.logs("reason=wrong-password"))
    // Our client sends USERHASH, and the server has no such user.
    #expect(server.logs("info auth-failed user=userhash:"))
    #expect(server.logs("reason=unknown-user"))
  }

  @Test("In JSON lines numbers are numbers")
  func jsonLines() throws {
    let server = try RunningServer(
      port: Self.port(91), ["log.format=json", "peers.allow=127.0.0.0/8"] + Self.info, ready: "\"ready\"")
    try useRelay(server)
    #expect(server.logs("\"event\":\"allocation-opened\",\"id\":\""))
    #expect(server.logs("\"realm\":\"turnpike\",\"user\":\"alice\",\"client\":\"127.0.0.1:"))
    #expect(server.logs("\"to-peers-packets\":1,\"to-peers-bytes\":3,\"to-client-packets\":0,\"to-client-bytes\":0,"))
  }

  @Test("log.privacy hides names and clients of allocations, and keeps what an operator needs to ban a client")
  func privacy() throws {
    let server = try RunningServer(
      port: Self.port(91), Self.info + ["peers.allow=127.0.0.0/8", "log.privacy=truncated"])
    try useRelay(server)
    #expect(server.logs(" user=\"al…\" client=127.0.0.0/24 "))
    #expect(server.logs("info peer-refused user=\"al…\" client=127.0.0.1:"))
    let silent = try RunningServer(port: Self.port(90), Self.info + ["peers.allow=127.0.0.0/8", "log.privacy=none"])
    try useRelay(silent)
    #expect(silent.logs(" user=\"\" client=\"\" "))
    #expect(!silent.logged("alice"))
  }

  @Test("Each address has at most five failed logins logged in ten seconds")
  func boundedLines() throws {
    let server = try RunningServer(port: Self.port(92), Self.info)
    for last in [UInt8(1), 2] {
      for _ in 0..<8 {
        var session = try server.session("alice", "wrong", from: IPAddress(127, 0, 0, last))
        #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } == 401)
      }
    }
    server.send(SIGTERM)
    #expect(server.logs(" stopped"))
    for last in [1, 2] {
      #expect(server.logText.components(separatedBy: "auth-failed user=alice client=127.0.0.\(last):").count - 1 == 5)
    }
  }

  @Test("An exhausted strangers' budget is logged once, with the address and the key that raises it")
  func strangersBudgetLine() throws {
    let server = try RunningServer(port: Self.port(93), Self.info + ["limits.unauthenticated-per-address=3"])
    for _ in 0..<12 { _ = try bind(loopback(1, server.port), milliseconds: 20) }
    #expect(
      server.logs(
        "warning limit-reached limit=unauthenticated-per-address client=127.0.0.1 key=limits.unauthenticated-per-address"
      ))
    server.send(SIGTERM)
    #expect(server.logs(" stopped"))
    #expect(server.logText.components(separatedBy: "limit-reached").count == 2)
  }

  @Test("A full quota and a full table are logged with their keys")
  func fullTables() throws {
    let server = try RunningServer(
      port: Self.port(94),
      Self.info + ["limits.allocations-per-user=1", "limits.channels-per-allocation=1", "peers.allow=127.0.0.0/8"])
    var session = try server.session()
    try session.allocate()
    _ = try session.bindChannel(to: SocketAddress("127.0.0.1:9")!)
    #expect(
      code { () throws(AllocationSession.Failure) in _ = try session.bindChannel(to: SocketAddress("127.0.0.1:10")!) }
        == 508)
    #expect(
      server.logs(
        "limit-reached limit=channels-per-allocation client=127.0.0.1 key=limits.channels-per-allocation times=1"))
    var second = try server.session()
    #expect(code { () throws(AllocationSession.Failure) in try second.allocate() } == 486)
    #expect(
      server.logs(
        "limit-reached limit=allocations-per-user client=127.0.0.1 user=alice key=limits.allocations-per-user"))
  }

  @Test("A limit without a key is logged too: that of messages from a client without an allocation")
  func fixedLimit() throws {
    let server = try RunningServer(port: Self.port(97), Self.info)
    let stream = try Stream(to: loopback(1, server.port))
    // The header of a Binding request of 8,000 bytes.
    let head: [UInt8] = [0, 1, 0x1F, 0x40, 0x21, 0x12, 0xA4, 0x42] + [UInt8](repeating: 7, count: 12)
    try stream.send(head)
    #expect(
      server.logs("warning limit-reached limit=message-before-allocation client=127.0.0.1 key=\"fixed limit\" times=1"))
  }

  @Test(
    "Several refusals of the certificate by one client are logged once, with the TLS alert",
    arguments: [TransportProtocol.tls, .dtls])
  func refusedCertificate(transport: TransportProtocol) throws {
    let server = try RunningServer(port: Self.port(transport == .tls ? 95 : 96), Self.info)
    for _ in 0..<3 {
      #expect(throws: ConnectionFailure.self) {
        _ = try ClientConnection(
          ClientConnection.Settings(
            transport: transport, remote: loopback(1, server.tlsPort), serverName: "localhost",
            tls: try TLSContext(client: .system, isDatagram: transport == .dtls)),
          until: soon)
      }
    }
    #expect(server.logs("info tls-refused client=127.0.0.1:"))
    #expect(server.logs("transport=\(transport) alert=unknown_ca reason="))
    server.send(SIGTERM)
    #expect(server.logs(" stopped"))
    #expect(server.logText.components(separatedBy: "tls-refused").count == 2)
  }
}
