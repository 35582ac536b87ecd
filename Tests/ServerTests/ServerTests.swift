import System
import ClientIO
import Crypto
import Foundation
import NetIO
import NetworkTypes
import STUN
import TestSupport
import Testing
import TLS
import TURNClient

/// Tests the real program with real sockets, on loopback only.
@Suite("The running server", .serialized)
struct ServerTests {
  static func port(_ number: UInt16) -> UInt16 { PortBlock.server[number] }

  var soon: Instant { Instant.read().advanced(by: .seconds(2)) }

  /// Sends a Binding request; true if an answer arrives from exactly the address that got the request.
  func bind(_ remote: SocketAddress, milliseconds: UInt32 = 1000) throws -> Bool {
    let socket = try ClientSocket.udp(to: remote)
    var writer = MessageWriter()
    writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: 1, low: SecureRandom.word()))
    let request = writer.bytes.copied()
    _ = try socket.send(request.span.rawBytes)
    return Readiness.wait(
      for: socket.rawValue, until: Instant.read().advanced(by: .milliseconds(milliseconds)))
  }

  func loopback(_ last: UInt8, _ port: UInt16) -> SocketAddress {
    SocketAddress(IPAddress(127, 0, 0, last), port: port)
  }

  /// The error code of a request; nil if it succeeds.
  func code(_ body: () throws(AllocationSession.Failure) -> Void) -> UInt16? {
    do throws(AllocationSession.Failure) {
      try body()
      return nil
    } catch {
      guard case .request(let failure) = error else { return 1 }
      switch failure {
      case .refused(let code, _, _, _): return code.rawValue
      case .wrongCredentials: return 401
      default: return 2
      }
    }
  }

  // MARK: - Listeners

  @Test("On a wildcard listener an answer leaves from the address that got the request")
  func multihomed() throws {
    let server = try RunningServer(port: Self.port(0))
    for last in [UInt8(1), 2, 77] { #expect(try bind(loopback(last, server.port))) }
  }

  @Test("A second server on the same port fails with \"Address already in use\"")
  func addressInUse() throws {
    let server = try RunningServer(port: Self.port(1))
    #expect {
      _ = try RunningServer(port: server.port)
    } throws: { error in
      (error as? RunningServer.NotStarted)?.log.contains("Address already in use") == true
    }
    #expect(try bind(loopback(1, server.port)))
  }

  @Test("The first byte distinguishes TLS on the plain port and plain TCP on the TLS port")
  func autodetection() throws {
    let server = try RunningServer(port: Self.port(2))
    for transport in [TransportProtocol.tcp, .tls] {
      for crossed in [false, true] {
        let port = (transport == .tls) != crossed ? server.tlsPort : server.port
        var session = try server.session(transport: transport, port: port)
        #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } == nil)
      }
    }
  }

  @Test("auto=false accepts the named scheme only")
  func insisting() throws {
    let port = Self.port(3)
    let server = try RunningServer(
      port: port, listeners: "tcp://127.0.0.1:\(port)?auto=false,tls://127.0.0.1:\(port + 1)?auto=false")
    #expect(throws: (any Error).self) { _ = try server.session(transport: .tls, port: server.port) }
    var session = try server.session(transport: .tcp, port: server.tlsPort)
    #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } != nil)
    var good = try server.session(transport: .tcp)
    #expect(code { () throws(AllocationSession.Failure) in try good.allocate() } == nil)
  }

  @Test(
    "An HTTP request ends the connection",
    arguments: ["GET / HTTP/1.1\r\n\r\n", "\u{5}\u{1}\0"])
  func httpRequest(text: String) throws {
    let server = try RunningServer(port: Self.port(4))
    let socket = try ClientSocket.tcp(to: loopback(1, server.port))
    #expect(Readiness.wait(for: socket.rawValue, writing: true, until: Instant.read().advanced(by: .seconds(2))))
    let bytes = Array(text.utf8)
    _ = try socket.send(bytes.span.rawBytes)
    #expect(Readiness.wait(for: socket.rawValue, until: Instant.read().advanced(by: .seconds(2))))
    var buffer = ReceiveBuffer()
    let result = buffer.receiveStream(socket)
    if case .bytes = result { Issue.record("\(result)") }
  }

  @Test("10,000 mutated datagrams and streams do not stop the server")
  func hostileBytes() throws {
    let server = try RunningServer(port: Self.port(5), ["limits.unauthenticated-per-address=0"])
    var generator = SeededGenerator(seed: Array("black box".utf8))
    var writer = MessageWriter()
    let socket = try ClientSocket.udp(to: loopback(1, server.port))
    for round in 0..<10_000 {
      writer.begin(
        MessageType([.binding, .allocate, .refresh, .send][round % 4], .request),
        transactionID: TransactionID(high: 1, low: UInt64(round)))
      writer.append(.requestedTransport, UInt32(17) << 24)
      writer.append(.username, text: "alice")
      writer.append(.messageIntegrity, [UInt8](repeating: 7, count: 20))
      var bytes = writer.bytes.copied()
      for _ in 0...generator.next(below: 4) {
        bytes[Int(generator.next(below: UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: generator.next())
      }
      if round % 100 == 0 {
        let stream = try ClientSocket.tcp(to: loopback(1, round % 200 == 0 ? server.port : server.tlsPort))
        _ = Readiness.wait(for: stream.rawValue, writing: true, until: Instant.read().advanced(by: .seconds(1)))
        _ = try? stream.send(bytes.span.rawBytes)
      } else {
        _ = try? socket.send(bytes.span.rawBytes)
      }
    }
    #expect(server.isRunning)
    #expect(try bind(loopback(1, server.port)))
  }

  // MARK: - Limits, counted over all shards

  struct Limit: Sendable {
    var setting: String
    var code: UInt16
    var user: String = "alice"
    var password: String = "secret"
    var local: IPAddress
    var port: UInt16
  }

  @Test(
    "Two allocations are granted and the third is refused, on any shard",
    arguments: [
      Limit(
        setting: "limits.allocations=2", code: 508, user: "bob", password: "hunter2", local: IPAddress(127, 0, 0, 9),
        port: port(6)),
      Limit(setting: "limits.allocations-per-user=2", code: 486, local: IPAddress(127, 0, 0, 9), port: port(7)),
      Limit(
        setting: "limits.allocations-per-address=2", code: 486, user: "bob", password: "hunter2", local: .ipv4Loopback,
        port: port(8)),
    ])
  func limits(limit: Limit) throws {
    let server = try RunningServer(port: limit.port, [limit.setting])
    var first = try server.session(from: .ipv4Loopback)
    var second = try server.session(from: .ipv4Loopback)
    #expect(code { () throws(AllocationSession.Failure) in try first.allocate() } == nil)
    #expect(code { () throws(AllocationSession.Failure) in try second.allocate() } == nil)
    // Several five-tuples, so that both shards get a request.
    for _ in 0..<6 {
      var third = try server.session(limit.user, limit.password, from: limit.local)
      #expect(code { () throws(AllocationSession.Failure) in try third.allocate() } == limit.code)
    }
    #expect(code { () throws(AllocationSession.Failure) in try first.delete() } == nil)
    var again = try server.session(limit.user, limit.password, from: limit.local)
    #expect(code { () throws(AllocationSession.Failure) in try again.allocate() } == nil)
  }

  @Test("All shards together keep the budget of unauthenticated answers for each address")
  func strangersBudget() throws {
    let server = try RunningServer(port: Self.port(9), ["limits.unauthenticated-per-address=5"])
    var answers = 0
    for _ in 0..<30 where try bind(loopback(1, server.port), milliseconds: 20) { answers += 1 }
    // 30 requests take less than 1.5 seconds: a burst of five, plus the refill of that time.
    #expect((5...12).contains(answers))
    let other = try ClientSocket.udp(
      to: loopback(1, server.port), from: SocketAddress(IPAddress(127, 0, 0, 3), port: 0))
    var writer = MessageWriter()
    writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: 1, low: 1))
    let request = writer.bytes.copied()
    _ = try other.send(request.span.rawBytes)
    #expect(Readiness.wait(for: other.rawValue, until: Instant.read().advanced(by: .seconds(1))))
  }

  // MARK: - Peers

  @Test("After an ICMP error of one peer, the next datagram to another peer passes, both ways")
  func peerErrors() throws {
    let server = try RunningServer(port: Self.port(10), ["peers.allow=127.0.0.0/8"])
    let peer = try ClientSocket.udp(boundTo: loopback(1, 0))
    let local = peer.localAddress
    let peerAddress = try #require(local)
    var session = try server.session()
    try session.allocate()
    let dead = loopback(1, 9)
    try session.createPermission([peerAddress, dead])
    for round in 0..<20 {
      let data = [UInt8(round)]
      try session.send(data, to: dead, until: soon)
      try session.send(data, to: peerAddress, until: soon)
      #expect(Readiness.wait(for: peer.rawValue, until: Instant.read().advanced(by: .seconds(2))))
      var buffer = ReceiveBuffer()
      let (result, sender) = buffer.receive(peer)
      #expect(result == .bytes(1))
      _ = try peer.send(data.span.rawBytes, to: sender)
      let back = try session.receiveData(until: Instant.read().advanced(by: .seconds(2)))
      #expect(back?.data == data)
    }
  }

  @Test("A Send indication with DONT-FRAGMENT amid a batch does not overwrite packets that wait to be sent")
  func slotsOfAHalfDecidedBatch() throws {
    let port = Self.port(19)
    let server = try RunningServer(
      port: port, ["auth.anonymous=true", "auth.store=", "workers=1", "peers.allow=127.0.0.0/8"],
      listeners: "udp://127.0.0.1:\(port),udp://127.0.0.1:\(port + 1)", users: false, waitsForLine: false)
    let peer = try ClientSocket.udp(boundTo: loopback(1, 0))
    let local = peer.localAddress
    let peerAddress = try #require(local)
    let first = try ClientSocket.udp(to: loopback(1, port))
    let second = try ClientSocket.udp(to: loopback(1, port + 1))
    var writer = MessageWriter()
    func ask(_ socket: borrowing ClientSocket, _ method: Method, _ body: (inout MessageWriter) -> Void) throws {
      writer.begin(MessageType(method, .request), transactionID: TransactionID(high: 1, low: SecureRandom.word()))
      body(&writer)
      let request = writer.bytes.copied()
      _ = try socket.send(request.span.rawBytes)
      let isAnswered = Readiness.wait(for: socket.rawValue, until: soon)
      #expect(isAnswered)
      var buffer = ReceiveBuffer()
      _ = buffer.receiveStream(socket)
    }
    try ask(first, .allocate) { $0.append(.requestedTransport, UInt32(17) << 24) }
    try ask(second, .allocate) { $0.append(.requestedTransport, UInt32(17) << 24) }
    try ask(first, .createPermission) { $0.append(.xorPeerAddress, xor: peerAddress) }
    try ask(second, .createPermission) { $0.append(.xorPeerAddress, xor: peerAddress) }

    // While the server is stopped, both listeners fill, so that one turn finds a batch in each.
    server.send(SIGSTOP)
    var expected: Set<[UInt8]> = []
    for number in UInt8(0)..<30 {
      for client in UInt8(1)...2 {
        let payload = [UInt8](repeating: client, count: 100) + [number]
        expected.insert(payload)
        writer.begin(MessageType(.send, .indication), transactionID: TransactionID(high: 2, low: UInt64(number)))
        writer.append(.xorPeerAddress, xor: peerAddress)
        if number == 3 { writer.append(.dontFragment, [UInt8]()) }
        writer.append(.data, payload)
        let bytes = writer.bytes.copied()
        if client == 1 { _ = try first.send(bytes.span.rawBytes) } else { _ = try second.send(bytes.span.rawBytes) }
      }
    }
    server.send(SIGCONT)
    var heard: Set<[UInt8]> = []
    for _ in 0..<60 {
      guard Readiness.wait(for: peer.rawValue, until: soon) else { break }
      var buffer = ReceiveBuffer()
      let (result, _) = buffer.receive(peer)
      if case .bytes(let count) = result { heard.insert(buffer.prefix(count)) }
    }
    #expect(heard == expected)
  }

  @Test("The server's own listener is refused as a peer, even if its address is allowed")
  func ownListener() throws {
    let server = try RunningServer(port: Self.port(11), ["peers.allow=127.0.0.0/8"])
    var session = try server.session()
    try session.allocate()
    #expect(
      code { () throws(AllocationSession.Failure) in try session.createPermission([loopback(1, server.port)]) } == nil)
    #expect(
      code { () throws(AllocationSession.Failure) in try session.bindChannel(to: loopback(1, server.port)) } == 403)
    #expect(
      code { () throws(AllocationSession.Failure) in try session.bindChannel(to: loopback(5, server.tlsPort)) } == 403)
  }

  @Test("Without rules two allocations of the server reach each other, and nothing else on its host")
  func relayToRelay() throws {
    let server = try RunningServer(port: Self.port(12))
    var alice = try server.session()
    var bob = try server.session("bob", "hunter2", transport: .tls)
    try alice.allocate()
    try bob.allocate()
    let aliceRelay = try #require(alice.client.grant?.relayedAddresses.first)
    let bobRelay = try #require(bob.client.grant?.relayedAddresses.first)
    try alice.bindChannel(to: bobRelay)
    try bob.createPermission([aliceRelay])
    try alice.send([1, 2, 3], to: bobRelay, until: soon)
    let heard = try bob.receiveData(until: Instant.read().advanced(by: .seconds(2)))
    #expect(heard?.data == [1, 2, 3])
    #expect(heard?.peer == aliceRelay)
    #expect(code { () throws(AllocationSession.Failure) in try alice.bindChannel(to: loopback(1, 22)) } == 403)
  }
}
