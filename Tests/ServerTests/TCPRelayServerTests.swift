import Foundation
import NetIO
import NetworkTypes
import STUN
import TLS
import Testing

@Suite("The running server relays TCP (RFC 6062)", .serialized)
struct TCPRelayServerTests {
  static func port(_ number: UInt16) -> UInt16 { 26_400 + number * 10 }

  func server(_ number: UInt16, _ settings: [String] = []) throws -> RunningServer {
    try RunningServer(port: Self.port(number), ["peers.allow=127.0.0.0/8"] + settings)
  }

  /// A new connection to the server: plain or TLS.
  func open(_ server: RunningServer, secure: Bool = false, username: String = "alice", password: String = "secret") throws
    -> StreamClient
  {
    let port = secure ? server.tlsPort : server.port
    let stream = try Stream(
      to: SocketAddress(.ipv4Loopback, port: port), tls: secure ? try TLSContext(client: .none) : nil)
    return StreamClient(stream, username: username, password: password)
  }

  /// Control connection, peer's end, client's end of a bound pipe.
  func pipe(_ server: RunningServer, secure: Bool = false) throws -> (control: StreamClient, peer: Stream, data: Stream) {
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

  @Test("bytes go both ways unchanged, and an end passes through while the other direction goes on", arguments: [false, true])
  func bothWays(secure: Bool) throws {
    let server = try server(secure ? 1 : 0)
    // Several data connections: the kernel spreads them over both shards, and the allocation has one.
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

  @Test("what a peer says before the bind is kept, and what a client sends with its ConnectionBind is passed on")
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
      try data.stream.send(data.request(.connectionBind) { $0.append(.connectionID, identifier) } + pattern(1000, round))
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

  @Test("two ConnectionBinds on one connection, both waiting for the store, leave one pipe at the most")
  func bindTwice() throws {
    let server = try server(20)
    // A shard remembers whom it has asked for, so each round has a user of its own; the kernel chooses the shard.
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
      // An answer, or the end.
      _ = try? data.stream.receiveMessage()
      data.stream.reset()
      for peer in accepted { try? peer.send([1, 2, 3]) }
      // Whoever comes next may get the place that was left: nothing that a peer said is for him.
      let next = try open(server)
      _ = try next.allocateTCP()
      #expect(!next.stream.hears(within: 200), "round \(round)")
      #expect(server.isRunning)
    }
  }

  @Test("whoever does not read holds the other up: nothing piles up in between", arguments: [false, true])
  func backPressure(secure: Bool) throws {
    let server = try server(secure ? 4 : 3)
    let (control, peer, data) = try pipe(server, secure: secure)
    let before = try #require(residentKiB(server))
    let sent = peer.sendUntilFull(limit: 64 << 20)
    // Kernel buffers of three sockets, and what the server keeps: far from all of it.
    #expect(sent < 40 << 20)
    let after = try #require(residentKiB(server))
    #expect(after - before < 4096)
    // Once the client reads, everything that was sent comes.
    #expect(try data.receive(sent).allSatisfy { $0 == 0x55 })
    if !secure {
      let up = data.sendUntilFull(limit: 64 << 20)
      #expect(up < 40 << 20)
      #expect(try peer.receive(up).count == up)
    }
    _ = control
  }

  private func residentKiB(_ server: RunningServer) -> Int? {
    guard let text = try? String(contentsOfFile: "/proc/\(server.processIdentifier)/status", encoding: .utf8) else { return nil }
    let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? line.flatMap { Int($0.filter(\.isNumber)) }
  }

  @Test("a peer that connects is announced if there is a permission, and closed at once if there is none")
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
    // The client's end goes: so does the peer's.
    data.stream.reset()
    #expect((try? peer.receiveToEnd()) == [])
  }

  @Test("446 for a second connection to one peer, 447 where nobody listens, 403 where it is forbidden, our own ports included")
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

  @Test("the end of the allocation closes its listener and both ends of its pipes", arguments: [0, 1])
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

  @Test("after 200 pipes that ended in every way no descriptor is left")
  func churn() throws {
    let server = try server(14, ["limits.unauthenticated-per-address=0", "auth.store="])
    func descriptors() -> Int {
      (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(server.processIdentifier)/fd").count) ?? -1
    }
    let before = descriptors()
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
      // Nobody says anything any more: the whole of it goes with this test.
      default: streams += [control.stream, peer, data]
      }
      // The allocation of the others goes with its control connection.
      _ = control
    }
    for stream in streams { stream.reset() }
    let deadline = Instant.read().advanced(bySeconds: 5)
    while descriptors() > before, Instant.read() < deadline {
      Readiness.sleep(until: Instant.read().advanced(byMilliseconds: 20))
    }
    #expect(descriptors() == before)
  }

  @Test("relay.tcp: false says 442")
  func off() throws {
    let server = try server(9, ["relay.tcp=false"])
    let control = try open(server)
    #expect(try control.ask(.allocate) { $0.append(.requestedTransport, UInt32(6) << 24) }.code == 442)
  }

  @Test("bandwidth-per-allocation holds a pipe to its rate")
  func bandwidth() throws {
    let server = try server(10, ["limits.bandwidth-per-allocation=400k"])
    let (control, peer, data) = try pipe(server)
    let start = Instant.read()
    Thread { try? peer.send([UInt8](repeating: 1, count: 1_000_000)) }.start()
    _ = try data.receive(1_000_000)
    let seconds = Double(Instant.read().nanoseconds(since: start)) / 1e9
    // A second's worth at once, then 600,000 bytes at 400,000 a second; the last reading goes ahead of its time.
    #expect((1.2...2.5).contains(seconds))
    _ = control
  }

  @Test("over TLS each message has a record of its own, however many a turn brings")
  func records() throws {
    let server = try server(13)
    let client = try open(server, secure: true)
    let peer = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    let local = peer.localAddress
    let peerAddress = try #require(local)
    let relayed = try #require(try client.ask(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) }.relayed)
    #expect(
      try client.ask(.channelBind) {
        $0.append(.channelNumber, UInt32(0x4000) << 16)
        $0.append(.xorPeerAddress, xor: peerAddress)
      }.code == nil)
    let before = client.stream.recordByteCounts.count
    server.send(SIGSTOP)
    for number in UInt8(0)..<20 {
      let data = [UInt8](repeating: number, count: 100)
      _ = try peer.send(data.span.rawBytes, to: relayed)
    }
    server.send(SIGCONT)
    for number in UInt8(0)..<20 {
      #expect(try client.stream.receive(104) == [0x40, 0, 0, 100] + [UInt8](repeating: number, count: 100))
    }
    #expect(client.stream.recordByteCounts.dropFirst(before) == ArraySlice([Int](repeating: 104, count: 20)))
  }
}
