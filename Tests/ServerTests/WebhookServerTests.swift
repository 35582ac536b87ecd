import CLinux
import ClientIO
import Foundation
import JSON
import NetIO
import NetworkTypes
import System
import TestSupport
import Testing
import WebServer

/// Events for a webhook, and users of a hook, with the running server.
@Suite("Webhook and hook", .serialized)
struct WebhookServerTests {
  private static func port(_ number: UInt16) -> UInt16 { PortBlock.webhook[number] }

  private func server(_ number: UInt16, _ settings: [String]) throws -> RunningServer {
    let port = Self.port(number)
    return try RunningServer(
      port: port, ["auth.store="] + settings, listeners: "udp://127.0.0.1:\(port),tcp://127.0.0.1:\(port)")
  }

  private static func url(_ number: UInt16) -> String { "http://127.0.0.1:\(port(number) + 5)/turn" }

  /// The error code of a session's request; nil if it succeeded.
  private func code(_ body: () throws(AllocationSession.Failure) -> Void) -> UInt16? { ServerTests().code(body) }

  @Test("Opened, used and closed allocations and failed logins reach the webhook, each once and in order")
  func events() throws {
    let receiver = try Receiver(port: Self.port(0) + 5) { _, _ in HTTPResponse(200, text: "thanks") }
    let server = try server(
      0, ["events.webhook=\(Self.url(0))", "events.secret=s3cret", "events.usage-interval=1s"])
    var wrong = try server.session("alice", "wrong")
    _ = code { () throws(AllocationSession.Failure) in try wrong.allocate() }
    var session = try server.session()
    #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } == nil)
    #expect(receiver.waits { $0.types().filter { $0 == "allocation.usage" }.count >= 2 })
    #expect(code { () throws(AllocationSession.Failure) in _ = try session.delete() } == nil)
    #expect(receiver.waits { $0.types().contains("allocation.closed") })
    let types = receiver.types().filter { $0 != "allocation.usage" }
    #expect(types == ["auth.failed", "allocation.opened", "allocation.closed"])
    let ids = receiver.events.compactMap { $0["id"]?.string }
    #expect(Set(ids).count == ids.count)
    let opened = try #require(receiver.events.first { $0["type"]?.string == "allocation.opened" })
    #expect(opened["session"]?["user"]?.string == "alice")
    #expect(opened["session"]?["realm"]?.string == "turnpike")
    let closed = try #require(receiver.events.first { $0["type"]?.string == "allocation.closed" })
    #expect(closed["session"]?["id"] == opened["session"]?["id"])
    #expect(closed["reason"]?.string == "deleted")
    let failed = try #require(receiver.events.first { $0["type"]?.string == "auth.failed" })
    #expect(failed["reason"]?.string == "wrong-password" && failed["user"]?.string == "alice")
  }

  @Test("No client can relay to the hook and the webhook on this host, whatever the peer rules allow")
  func noPeers() throws {
    let (hook, webhook) = (Self.port(20) + 5, Self.port(20) + 6)
    let server = try server(
      20,
      [
        "auth.hook=http://127.0.0.1:\(hook)/users", "events.webhook=http://localhost:\(webhook)/events",
        "peers.allow=127.0.0.0/8",
      ])
    var session = try server.session()
    #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } == nil)
    for port in [hook, webhook] {
      let peer = SocketAddress(.ipv4Loopback, port: port)
      #expect(code { () throws(AllocationSession.Failure) in try session.bindChannel(to: peer) } == 403)
    }
    let other = SocketAddress(.ipv4Loopback, port: Self.port(20) + 7)
    #expect(code { () throws(AllocationSession.Failure) in try session.bindChannel(to: other) } == nil)
  }

  @Test("A webhook that fails gets the same events again; events that it refuses are dropped")
  func retries() throws {
    let receiver = try Receiver(port: Self.port(1) + 5) { _, number in
      number == 1 ? HTTPResponse(503, text: "later") : HTTPResponse(number <= 3 ? 200 : 400, text: "no")
    }
    let server = try server(1, ["events.webhook=\(Self.url(1))", "events.usage-interval=0s"])
    var session = try server.session()
    #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } == nil)
    #expect(server.logs("webhook-failed"))
    // An event between the two attempts is sent after them, also if no later event follows.
    var other = try server.session("bob", "hunter2")
    #expect(code { () throws(AllocationSession.Failure) in try other.allocate() } == nil)
    #expect(receiver.waits { $0.all.count >= 3 })
    #expect(receiver.all[0].document == receiver.all[1].document)
    #expect(receiver.events.compactMap { $0["session"]?["user"]?.string } == ["alice", "alice", "bob"])
    #expect(code { () throws(AllocationSession.Failure) in _ = try session.delete() } == nil)
    #expect(server.logs("webhook-refused"))
    #expect(receiver.waits { $0.all.count == 4 })
  }

  @Test("A webhook that never answers delays neither allocations nor the end of the server")
  func stalled() throws {
    let receiver = try Receiver(port: Self.port(2) + 5) { _, _ in nil }
    let server = try server(2, ["events.webhook=\(Self.url(2))"])
    for _ in 0..<5 {
      var session = try server.session()
      #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } == nil)
      #expect(code { () throws(AllocationSession.Failure) in _ = try session.delete() } == nil)
    }
    #expect(receiver.waits { !$0.all.isEmpty })
    server.send(SIGTERM)
    #expect(server.waitForEnd() == 0)
  }

  @Test("Users of the hook allocate, unknown ones get 401, and the hook is asked once for each")
  func hook() throws {
    let receiver = try Receiver(port: Self.port(3) + 5) { request, _ in
      String(decoding: request.body, as: UTF8.self).contains("\"user\":\"carol\"")
        ? HTTPResponse(200, "application/json", Array(#"{"password":"of-carol","ttl":60}"#.utf8))
        : HTTPResponse(404, text: "unknown")
    }
    let server = try server(3, ["auth.hook=\(Self.url(3))", "workers=1"])
    for _ in 0..<2 {
      var session = try server.session("carol", "of-carol")
      #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } == nil)
    }
    var unknown = try server.session("dave", "of-dave")
    #expect(code { () throws(AllocationSession.Failure) in try unknown.allocate() } == 401)
    var wrong = try server.session("carol", "of-dave")
    #expect(code { () throws(AllocationSession.Failure) in try wrong.allocate() } == 401)
    var configured = try server.session()
    #expect(code { () throws(AllocationSession.Failure) in try configured.allocate() } == nil)
    #expect(receiver.waits { $0.all.count == 2 })
    #expect(receiver.all.compactMap { $0.document?["user"]?.string } == ["carol", "dave"])
    #expect(receiver.all.allSatisfy { $0.document?["source"]?.string == "127.0.0.1" })
    #expect(receiver.all.allSatisfy { $0.document?["realm"]?.string == "turnpike" })
  }

  @Test("A hook may limit a user's allocations")
  func allocationLimit() throws {
    let receiver = try Receiver(port: Self.port(11) + 5) { _, _ in
      HTTPResponse(200, "application/json", Array(#"{"password":"of-carol","allocations":1}"#.utf8))
    }
    let server = try server(11, ["auth.hook=\(Self.url(11))"])
    var session = try server.session("carol", "of-carol")
    #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } == nil)
    var second = try server.session("carol", "of-carol")
    #expect(code { () throws(AllocationSession.Failure) in try second.allocate() } == 486)
    _ = receiver
  }

  @Test("A hook may limit a user's bandwidth")
  func bandwidth() throws {
    let receiver = try Receiver(port: Self.port(12) + 5) { _, _ in
      HTTPResponse(200, "application/json", Array(#"{"password":"of-carol","bandwidth":4000}"#.utf8))
    }
    let port = Self.port(12)
    let server = try server(
      12, ["auth.hook=\(Self.url(12))", "peers.allow=127.0.0.0/8", "admin.listen=127.0.0.1:\(port + 2)"])
    let sink = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    let peer = SocketAddress(.ipv4Loopback, port: sink.localAddress?.port ?? 0)
    for (name, password) in [("carol", "of-carol"), ("alice", "secret")] {
      var session = try server.session(name, password)
      try session.allocate()
      try session.createPermission([peer])
      for _ in 0..<20 {
        try session.send(
          [UInt8](repeating: 1, count: 500), to: peer, asIndication: true,
          until: Instant.read().advanced(by: .seconds(1)))
      }
      try session.refresh()
    }
    let admin = AdminClient(port: port + 2, of: server)
    // One or two seconds' worth of carol's 10,000 bytes pass, and all of alice's.
    #expect(
      try AdminServerTests().soon {
        let metrics = try admin.metrics()
        let passed = metrics[#"turnpike_relayed_packets_total{direction="to_peers"}"#] ?? 0
        let dropped = metrics[#"turnpike_drops_total{cause="over_user_bandwidth"}"#] ?? 0
        return passed + dropped == 40 && (8...18).contains(dropped)
      })
    _ = receiver
  }

  @Test(
    "A hook that is not there, fails or gives invalid answers admits no user, and configured users allocate",
    arguments: zip(
      [4, 5, 6, 7, 8, 9, 10, 13] as [UInt16],
      [
        (200, #"{"password":5}"#), (200, "not JSON"), (200, #"{"key":"12"}"#), (500, ""), (200, #"{"password":""}"#),
        (200, #"{"password":"x","ttl":0}"#), (0, ""), (200, #"{"password":"x","bandwidth":-1}"#),
      ]))
  func lies(number: UInt16, answer: (status: UInt32, body: String)) throws {
    let (status, body) = answer
    let receiver =
      status == 0
      ? nil : try Receiver(port: Self.port(number) + 5) { _, _ in HTTPResponse(status, "text/plain", Array(body.utf8)) }
    let server = try server(number, ["auth.hook=\(Self.url(number))"])
    var session = try server.session("carol", "x")
    #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } == 500)
    #expect(server.logs("hook-failed"))
    var configured = try server.session()
    #expect(code { () throws(AllocationSession.Failure) in try configured.allocate() } == nil)
    _ = receiver
  }

  @Test("While a hook does not answer, other users allocate; then its user gets 500", .tags(.slow))
  func stalledHook() throws {
    let receiver = try Receiver(port: Self.port(14) + 5) { _, _ in nil }
    let server = try server(14, ["auth.hook=\(Self.url(14))", "workers=2"])
    let output = Pipe()
    let carol = try Child(
      Paths.program("stunclient"), ["turn:127.0.0.1:\(Self.port(14))"],
      environment: ["STUNCLIENT_USERNAME": "carol", "STUNCLIENT_PASSWORD": "x"], output: .pipe(output))
    #expect(receiver.waits { $0.all.count == 1 })
    for _ in 0..<10 {
      var configured = try server.session()
      #expect(code { () throws(AllocationSession.Failure) in try configured.allocate() } == nil)
    }
    #expect(carol.isRunning)
    #expect(carol.wait() == 2)
    let text = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
    #expect(text.contains("500") && server.logged("hook-failed"), "\(text)")
  }

  @Test("After five failures in a row a hook is not asked for a second, then it is asked again")
  func breaker() throws {
    let receiver = try Receiver(port: Self.port(15) + 5) { _, number in
      number <= 5
        ? HTTPResponse(500, text: "no") : HTTPResponse(200, "application/json", Array(#"{"password":"x"}"#.utf8))
    }
    let server = try server(15, ["auth.hook=\(Self.url(15))"])
    func allocate(_ user: String) throws -> UInt16? {
      var session = try server.session(user, "x")
      return code { () throws(AllocationSession.Failure) in try session.allocate() }
    }
    for number in 1...5 { #expect(try allocate("user-\(number)") == 500) }
    #expect(try allocate("user-6") == 500)
    #expect(receiver.waits { $0.all.count == 5 })
    let deadline = Instant.read().advanced(by: .seconds(5))
    while try allocate("user-7") != nil { try #require(Instant.read() < deadline) }
    #expect(receiver.waits { $0.all.count == 6 })
  }
}
