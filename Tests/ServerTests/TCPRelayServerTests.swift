import Foundation
import NetIO
import NetworkTypes
import STUN
import System
import TestSupport
import Testing
import TLS

@Suite("RFC 6062: the running server", .serialized)
struct TCPRelayServerTests {
  static func port(_ number: UInt16) -> UInt16 { PortBlock.tcpRelay[number] }

  func server(_ number: UInt16, _ settings: [String] = []) throws -> RunningServer {
    try RunningServer(port: Self.port(number), ["peers.allow=127.0.0.0/8"] + settings)
  }

  /// A new connection to the server: plain or TLS.
  func open(_ server: RunningServer, secure: Bool = false, username: String = "alice", password: String = "secret")
    throws
    -> StreamClient
  {
    let port = secure ? server.tlsPort : server.port
    let stream = try Stream(
      to: SocketAddress(.ipv4Loopback, port: port), tls: secure ? try TLSContext(client: .none) : nil)
    return StreamClient(stream, username: username, password: password)
  }

  /// A bound pipe: control connection, peer's end and client's end.
  func pipe(_ server: RunningServer, secure: Bool = false) throws -> (control: StreamClient, peer: Stream, data: Stream)
  {
    let control = try open(server, secure: secure)
    _ = try control.allocateTCP()
    let peer = try StreamPeer()
    let identifier = try #require(try control.connect(peer.address).connectionID)
    let accepted = try peer.accept()
    let data = try open(server, secure: secure)
    let answer = try data.bindConnection(identifier)
    #expect(answer.type == MessageType(.connectionBind, .success))
    return (control, accepted, data.stream)
  }

  func pattern(_ count: Int, _ seed: UInt8) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) ^ seed }
  }

  @Test(
    "Bytes pass both ways unchanged, and the end of one direction leaves the other open",
    arguments: [false, true])
  func bothWays(secure: Bool) throws {
    let server = try server(secure ? 1 : 0)
    // Several data connections: the kernel distributes them over both shards, and the allocation is on one of them.
    for round in UInt8(0)..<6 {
      let (control, peer, data) = try pipe(server, secure: secure)
      let up = pattern(300_000, round)
      let down = pattern(200_000, ~round)
      try data.send(Array("hello".utf8))
      #expect(try peer.receive(5) == Array("hello".utf8))
      Thread { try? data.send(up) }.start()
      #expect(try peer.receive(up.count) == up)
      Thread { try? peer.send(down) }.start()
      #expect(try data.receive(down.count) == down)
      if round & 1 == 0 {
        try data.endWriting()
        #expect(try peer.receiveToEnd() == [])
        try peer.send([1, 2, 3])
        #expect(try data.receive(3) == [1, 2, 3])
        try peer.endWriting()
        #expect(try data.receiveToEnd() == [])
      } else {
        try peer.endWriting()
        #expect(try data.receiveToEnd() == [])
        try data.send([4, 5])
        #expect(try peer.receive(2) == [4, 5])
      }
      _ = control
    }
  }

  @Test("Data of the peer before ConnectionBind is kept, and data after ConnectionBind is passed on")
  func early() throws {
    let server = try server(2)
    let control = try open(server)
    _ = try control.allocateTCP()
    let peer = try StreamPeer()
    for round in UInt8(0)..<4 {
      let identifier = try #require(try control.connect(peer.address).connectionID)
      let accepted = try peer.accept()
      try accepted.send(pattern(100_000, round))
      let data = try open(server)
      try data.challenge(.connectionBind)
      try data.stream.send(
        data.request(.connectionBind) { $0.append(.connectionID, identifier) } + pattern(1000, round))
      let answer = try StreamClient.Answer(try data.stream.receiveMessage())
      #expect(answer.type == MessageType(.connectionBind, .success))
      #expect(try accepted.receive(1000) == pattern(1000, round))
      #expect(try data.stream.receive(100_000) == pattern(100_000, round))
      try accepted.endWriting()
      #expect(try data.stream.receiveToEnd() == [])
      try data.stream.endWriting()
      #expect(try accepted.receiveToEnd() == [])
    }
  }

  @Test("Two ConnectionBinds on one connection that wait for the store make one pipe at most", .tags(.slow))
  func bindTwice() throws {
    let server = try server(20)
    // A shard caches the keys that it has looked up, so each round has another user; the kernel chooses the shard.
    for round in 0..<8 {
      let name = "carol\(round)"
      let added = try server.command(["user", "add", name, "--password-stdin"], input: "sing\n")
      #expect(added.status == 0)
      let control = try open(server, username: name, password: "sing")
      _ = try control.allocateTCP()
      let peers = try [StreamPeer(), StreamPeer()]
      var identifiers: [UInt32] = []
      var accepted: [Stream] = []
      for peer in peers {
        identifiers.append(try #require(try control.connect(peer.address).connectionID))
        accepted.append(try peer.accept())
      }
      let data = try open(server, username: name, password: "sing")
      try data.challenge(.connectionBind)
      let requests = identifiers.flatMap { identifier in
        data.request(.connectionBind, byHash: true) { $0.append(.connectionID, identifier) }
      }
      try data.stream.send(requests)
      // Waits for an answer or for the end.
      _ = try? data.stream.receiveMessage()
      data.stream.reset()
      for peer in accepted { try? peer.send([1, 2, 3]) }
      // The next client may get the free slot: it must receive no data of the old peer.
      let next = try open(server)
      _ = try next.allocateTCP()
      #expect(!next.stream.hears(within: 200), "round \(round)")
      #expect(server.isRunning)
    }
  }

  @Test("If one side does not read, the server stops reading from the other side", arguments: [false, true])
  func backPressure(secure: Bool) throws {
    let server = try server(secure ? 4 : 3)
    let (control, peer, data) = try pipe(server, secure: secure)
    let before = try #require(residentKiB(server))
    let sent = peer.sendUntilFull(limit: 64 << 20)
    // Only the kernel buffers of three sockets and the server's buffer fill: far less than the limit.
    #expect(sent < 40 << 20)
    let after = try #require(residentKiB(server))
    #expect(after - before < 4096)
    // When the client reads, it gets everything that was sent.
    #expect(try data.receive(sent).allSatisfy { $0 == 0x55 })
    if !secure {
      let up = data.sendUntilFull(limit: 64 << 20)
      #expect(up < 40 << 20)
      #expect(try peer.receive(up).count == up)
    }
    _ = control
  }

  private func residentKiB(_ server: RunningServer) -> Int? {
    guard let text = try? String(contentsOfFile: "/proc/\(server.processIdentifier)/status", encoding: .utf8) else {
      return nil
    }
    let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
      ?? line.flatMap { Int($0.filter(\.isNumber)) }
  }

  @Test("With a permission a connecting peer is announced; without one its connection is closed at once")
  func incoming() throws {
    let server = try server(5)
    let control = try open(server)
    let relayed = try control.allocateTCP()
    let stranger = try Stream(to: relayed)
    #expect(try stranger.receiveToEnd() == [])
    #expect(!control.stream.hears(within: 50))
    #expect(try control.permit(SocketAddress(.ipv4Loopback, port: 0)).code == nil)
    let peer = try Stream(to: relayed)
    let attempt = try StreamClient.Answer(try control.stream.receiveMessage())
    #expect(attempt.type == MessageType(.connectionAttempt, .indication))
    #expect(attempt.peer == peer.localAddress)
    try peer.send([9, 9, 9])
    let data = try open(server)
    #expect(try data.bindConnection(try #require(attempt.connectionID)).code == nil)
    #expect(try data.stream.receive(3) == [9, 9, 9])
    try data.stream.send([7])
    #expect(try peer.receive(1) == [7])
    // When the client's end closes, the peer's end closes too.
    data.stream.reset()
    #expect((try? peer.receiveToEnd()) == [])
  }

  @Test(
    "Connect gives 446 for a second connection, 447 for a closed port, 403 for a forbidden peer and own ports")
  func refusals() throws {
    let server = try server(6)
    let control = try open(server)
    _ = try control.allocateTCP()
    let peer = try StreamPeer()
    #expect(try control.connect(peer.address).code == nil)
    #expect(try control.connect(peer.address).code == 446)
    let closed = try StreamPeer().address
    #expect(try control.connect(closed).code == 447)
    #expect(try control.connect(SocketAddress(.ipv4Loopback, port: server.port)).code == 403)
    #expect(try control.connect(SocketAddress(IPAddress(127, 0, 0, 5), port: server.tlsPort)).code == 403)
    #expect(try control.connect(SocketAddress(IPAddress(10, 0, 0, 1), port: 80)).code == 403)
    let thief = try open(server, username: "bob", password: "hunter2")
    let peer2 = try StreamPeer()
    let identifier = try #require(try control.connect(peer2.address).connectionID)
    #expect(try thief.bindConnection(identifier).code == 441)
    #expect(try thief.bindConnection(identifier &+ 2).code == 400)
  }

  @Test("The end of the allocation closes its listener and both ends of its pipes", arguments: [0, 1])
  func ends(way: Int) throws {
    let server = try server(7 + UInt16(way))
    let (control, peer, data) = try pipe(server)
    if way == 0 {
      #expect(try control.ask(.refresh) { $0.append(.lifetime, 0 as UInt32) }.code == nil)
    } else {
      control.stream.reset()
    }
    #expect((try? peer.receiveToEnd()) == [])
    #expect((try? data.receiveToEnd()) == [])
  }

  @Test("After 200 pipes that ended in every way no socket is left")
  func churn() throws {
    let server = try server(14, ["limits.unauthenticated-per-address=0", "limits.connects-per-user=0", "auth.store="])
    // The open sockets. Files are not counted: other threads open and close some at any time.
    func sockets() throws -> Set<String> {
      let folder = "/proc/\(server.processIdentifier)/fd"
      let names = try FileManager.default.contentsOfDirectory(atPath: folder)
      let targets = names.compactMap { try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)") }
      return Set(targets.filter { $0.hasPrefix("socket:") })
    }
    let before = try sockets()
    var streams: [Stream] = []
    for round in 0..<200 {
      let (control, peer, data) = try pipe(server, secure: round % 8 == 0)
      try data.send([1, 2, 3])
      switch round % 5 {
      case 0: data.reset()
      case 1: peer.reset()
      case 2:
        try data.endWriting()
        try peer.endWriting()
      case 3: control.stream.reset()
      // Neither side sends; the connections end with this test.
      default: streams += [control.stream, peer, data]
      }
      // The other allocations end with their control connection.
      _ = control
    }
    for stream in streams { stream.reset() }
    // An unbound connection stays for its 30 s, and longer on a busy machine.
    let deadline = Instant.read().advanced(by: .seconds(120))
    var left = try sockets().subtracting(before)
    while !left.isEmpty, Instant.read() < deadline {
      Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(20)))
      left = try sockets().subtracting(before)
    }
    // The kernel's lines about these sockets have protocol, addresses and state.
    let tables = ["tcp", "tcp6", "udp", "udp6", "unix", "netlink"].compactMap { name in
      try? String(contentsOfFile: "/proc/\(server.processIdentifier)/net/\(name)", encoding: .utf8)
    }
    let numbers = left.map { " \($0.dropFirst("socket:[".count).dropLast()) " }
    let lines = tables.flatMap { $0.split(separator: "\n") }.filter { line in
      numbers.contains { (line + " ").contains($0) }
    }
    #expect(left.isEmpty, "left: \(left) \(lines)")
  }

  @Test("relay.tcp: false gives 442")
  func off() throws {
    let server = try server(9, ["relay.tcp=false"])
    let control = try open(server)
    #expect(try control.ask(.allocate) { $0.append(.requestedTransport, UInt32(6) << 24) }.code == 442)
  }

  @Test("bandwidth-per-allocation limits a pipe's rate")
  func bandwidth() throws {
    let server = try server(10, ["limits.bandwidth-per-allocation=400k"])
    let (control, peer, data) = try pipe(server)
    let start = Instant.read()
    Thread { try? peer.send([UInt8](repeating: 1, count: 1_000_000)) }.start()
    _ = try data.receive(1_000_000)
    let seconds = Double(Instant.read().nanoseconds(since: start)) / 1e9
    // The bytes of one second pass at once, then 600,000 bytes at 400,000 per second. The last read is not delayed.
    #expect((1.2...2.5).contains(seconds))
    _ = control
  }
}
