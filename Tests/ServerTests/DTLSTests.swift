import System
import ClientIO
import Crypto
import NetIO
import NetworkTypes
import STUN
import Testing
import TLS
import TURNClient
import TestSupport

extension ServerTests {
  /// A client's socket and its engine, for access to single datagrams, which `ClientConnection` does not give.
  private final class DatagramClient {
    let socket: ClientSocket
    var engine: DTLSEngine
    /// Shared, because reading the system's certificate authorities takes time.
    private static let context = Result { try TLSContext(client: .none, isDatagram: true) }

    init(to server: SocketAddress, from local: SocketAddress? = nil) throws {
      let socket = try ClientSocket.udp(to: server, from: local)
      let engine = try DTLSEngine(
        client: Self.context.get(), serverName: "localhost", applicationProtocols: ["stun.turn"])
      self.socket = socket
      self.engine = engine
    }

    func takeDatagram() -> [UInt8]? { engine.takeDatagram() }

    /// Sends the first flight.
    func hello() -> [UInt8]? {
      engine.handshake()
      return takeDatagram()
    }

    func send(_ bytes: [UInt8]) throws { _ = try socket.send(bytes.span.rawBytes) }

    func flush() throws {
      while let datagram = engine.takeDatagram() { _ = try socket.send(datagram.span.rawBytes) }
    }

    /// The next datagram, undecrypted.
    func receive(seconds: UInt32 = 2) -> [UInt8]? {
      guard Readiness.wait(for: socket.rawValue, until: Instant.read().advanced(by: .seconds(seconds))) else {
        return nil
      }
      var buffer = ReceiveBuffer()
      guard case .bytes(let count) = buffer.receiveDatagram(socket) else { return nil }
      return buffer.prefix(count)
    }

    func handshake() throws -> Bool {
      for _ in 0..<20 {
        let result = engine.handshake()
        try flush()
        if result == .complete { return true }
        guard let datagram = receive() else { return false }
        engine.receive(datagram.span.rawBytes)
      }
      return false
    }

    /// Sends a Binding request; true if an answer arrives through the association.
    func bind() throws -> Bool {
      var writer = MessageWriter()
      writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: 1, low: SecureRandom.word()))
      _ = engine.write(writer.bytes)
      try flush()
      guard let datagram = receive() else { return false }
      engine.receive(datagram.span.rawBytes)
      var buffer = ReceiveBuffer()
      guard case .bytes(let count) = buffer.read(&engine) else { return false }
      return count >= 20 && buffer.prefix(2) == [1, 1]
    }
  }

  @Test("DTLS works on its own port and on the plain one, beside plain UDP on both")
  func datagramAutodetection() throws {
    let server = try RunningServer(port: Self.port(20), ["peers.allow=127.0.0.0/8"])
    for port in [server.port, server.tlsPort] {
      var session = try server.session(transport: .dtls, port: port)
      #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } == nil)
      var plain = try server.session(transport: .udp, port: port)
      #expect(code { () throws(AllocationSession.Failure) in try plain.allocate() } == nil)
      #expect(try relays(&session, to: &plain))
    }
  }

  /// Whether data from one client arrives at the other over a channel, and data back in an indication.
  private func relays(_ one: inout AllocationSession, to other: inout AllocationSession) throws -> Bool {
    let relayed = try #require(one.client.grant?.relayedAddresses.first)
    let far = try #require(other.client.grant?.relayedAddresses.first)
    _ = try one.bindChannel(to: far)
    _ = try other.createPermission([relayed])
    for size in [1, 173, 1200, 9000] {
      let message = [UInt8](repeating: UInt8(truncatingIfNeeded: size), count: size)
      try one.send(message, to: far, until: soon)
      guard let there = try other.receiveData(until: soon), there.data == message else { return false }
      try other.send(message, to: relayed, until: soon)
      guard let back = try one.receiveData(until: soon), back.data == message, back.peer == far else { return false }
    }
    return true
  }

  @Test("auto=false on a datagram listener accepts the named scheme only")
  func datagramInsisting() throws {
    let port = Self.port(21)
    let server = try RunningServer(
      port: port, listeners: "udp://127.0.0.1:\(port)?auto=false,dtls://127.0.0.1:\(port + 1)?auto=false")
    let plain = try DatagramClient(to: loopback(1, server.port))
    plain.engine.handshake()
    try plain.flush()
    let answer = plain.receive(seconds: 1)
    #expect(answer == nil)
    #expect(try !bind(loopback(1, server.tlsPort), milliseconds: 300))
    #expect(try bind(loopback(1, server.port)))
    let secure = try DatagramClient(to: loopback(1, server.tlsPort))
    #expect(try secure.handshake())
    #expect(try secure.bind())
  }

  @Test("The first DTLS answer is a cookie, smaller than the ClientHello, and the server keeps no state")
  func datagramCookie() throws {
    let (server, admin) = try metered(22)
    for _ in 0..<200 {
      let client = try DatagramClient(to: loopback(1, server.tlsPort))
      let hello = try #require(client.hello())
      try client.send(hello)
      let answer = try #require(client.receive())
      // Handshake record, HelloVerifyRequest (RFC 6347 section 4.2.1).
      #expect(answer.count == 44 && answer.count < hello.count && answer[0] == 22 && answer[13] == 3)
    }
    #expect(try strangersMemory(admin) == 0)
  }

  /// A server without a limit for strangers, and its metrics.
  private func metered(_ number: UInt16) throws -> (RunningServer, AdminClient) {
    let port = Self.port(number)
    let server = try RunningServer(
      port: port, ["limits.unauthenticated-per-address=0", "admin.listen=127.0.0.1:\(port + 2)"])
    return (server, AdminClient(port: port + 2, of: server))
  }

  /// Without that of the admin endpoint, whose client here shows no token.
  private func strangersMemory(_ admin: AdminClient) throws -> Double? {
    let metrics = try admin.metrics()
    guard let all = metrics["turnpike_strangers_memory_bytes"] else { return nil }
    return all - (metrics["turnpike_admin_strangers_memory_bytes"] ?? 0)
  }

  @Test("An unfinished DTLS handshake is charged to strangers' memory, and ends after five seconds", .tags(.slow))
  func datagramUnfinished() throws {
    let (server, admin) = try metered(84)
    let client = try DatagramClient(to: loopback(1, server.tlsPort))
    try client.send(try #require(client.hello()))
    let cookie = try #require(client.receive())
    client.engine.receive(cookie.span.rawBytes)
    client.engine.handshake()
    try client.flush()
    // The server's flight shows that the association exists.
    #expect(client.receive() != nil)
    let begin = Instant.read()
    #expect(try strangersMemory(admin) ?? 0 > 0)
    while try strangersMemory(admin) != 0 {
      try #require(Instant.read().duration(since: begin) < .seconds(15))
      Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(100)))
    }
    #expect(Instant.read().duration(since: begin) > .seconds(3))
  }

  @Test("ClientHellos over DTLS count against the stranger's budget")
  func datagramFlood() throws {
    let server = try RunningServer(port: Self.port(23), ["limits.unauthenticated-per-address=5"])
    let client = try DatagramClient(to: loopback(1, server.tlsPort))
    let hello = try #require(client.hello())
    for _ in 0..<50 { try client.send(hello) }
    var answers = 0
    while client.receive(seconds: 1) != nil { answers += 1 }
    #expect((5...15).contains(answers))
  }

  @Test("Cookies to all addresses together stop at limits.unauthenticated")
  func datagramFloodOfAll() throws {
    let server = try RunningServer(port: Self.port(98), ["limits.unauthenticated=20"])
    let clients = try (1...100).map {
      try DatagramClient(
        to: loopback(1, server.tlsPort), from: SocketAddress(IPAddress(127, 0, 2, UInt8($0)), port: 0))
    }
    for client in clients { try client.send(try #require(client.hello())) }
    let answered = clients.filter { $0.receive(seconds: clients.first === $0 ? 2 : 0) != nil }.count
    #expect((15...40).contains(answered))
  }

  @Test("Forged Bindings with a client's address do not stop the client's DTLS handshake")
  func datagramForgedBindings() throws {
    let server = try RunningServer(port: Self.port(99), ["limits.unauthenticated-per-address=10"])
    let forger = try ClientSocket.udp(to: loopback(1, server.tlsPort))
    var writer = MessageWriter()
    writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: 1, low: 2))
    for _ in 0..<2000 { _ = try forger.send(writer.bytes) }
    let client = try DatagramClient(to: loopback(1, server.tlsPort))
    #expect(try client.handshake())
  }

  @Test("A DTLS client that restarts from the same port gets a new association, and its allocation ends")
  func datagramRestart() throws {
    let server = try RunningServer(port: Self.port(24))
    let local = loopback(1, Self.port(24) + 5)
    do {
      let first = try DatagramClient(to: loopback(1, server.tlsPort), from: local)
      #expect(try first.handshake())
      #expect(try first.bind())
    }
    let second = try DatagramClient(to: loopback(1, server.tlsPort), from: local)
    #expect(try second.handshake())
    #expect(try second.bind())
  }

  @Test("1,088 unfinished DTLS handshakes from 34 addresses block no other client", .tags(.slow))
  func datagramsUnfinished() throws {
    let server = try RunningServer(port: Self.port(76), ["workers=1", "limits.unauthenticated-per-address=0"])
    for host in 1...34 {
      for _ in 0..<32 {
        let local = SocketAddress(IPAddress(127, 0, 1, UInt8(host)), port: 0)
        let client = try DatagramClient(to: loopback(1, server.tlsPort), from: local)
        try client.send(try #require(client.hello()))
        let answer = try #require(client.receive())
        client.engine.receive(answer.span.rawBytes)
        client.engine.handshake()
        try client.flush()
      }
    }
    let client = try DatagramClient(to: loopback(1, server.tlsPort))
    #expect(try client.handshake())
    #expect(try client.bind())
  }

  @Test("5,000 mutated DTLS records end neither the server nor the association")
  func hostileRecords() throws {
    let server = try RunningServer(port: Self.port(26), ["limits.unauthenticated-per-address=0"])
    let client = try DatagramClient(to: loopback(1, server.tlsPort))
    #expect(try client.handshake())
    var generator = SeededGenerator(seed: Array("records".utf8))
    var writer = MessageWriter()
    writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: 1, low: 1))
    for _ in 0..<5_000 {
      _ = client.engine.write(writer.bytes)
      guard var bytes = client.takeDatagram() else { continue }
      for _ in 0...generator.next(below: 4) {
        bytes[Int(generator.next(below: UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: generator.next())
      }
      let part = Array(bytes.prefix(Int(generator.next(below: UInt64(bytes.count + 1)))))
      try client.send(part)
    }
    #expect(server.isRunning)
    // Discards the answers to datagrams that stayed valid or became hellos.
    while client.receive(seconds: 1) != nil {}
    #expect(try bind(loopback(1, server.port)))
    #expect(try client.bind())
  }
}
