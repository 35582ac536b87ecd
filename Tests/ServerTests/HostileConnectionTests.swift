import ClientIO
import NetIO
import NetworkTypes
import STUN
import System
import TLS
import TestSupport
import Testing

/// TCP connections that cost the server more than they cost the client.
extension ServerTests {
  /// A connection that sends some bytes and then stays silent.
  private final class SilentClient {
    let socket: ClientSocket

    init(to server: SocketAddress, from address: IPAddress? = nil, sending bytes: [UInt8] = []) throws {
      let socket = try ClientSocket.tcp(to: server, from: address.map { SocketAddress($0, port: 0) })
      guard Readiness.wait(for: socket.rawValue, writing: true, until: Stream.deadline) else {
        throw Stream.Failure(what: "no connection")
      }
      _ = try socket.send(bytes.span.rawBytes)
      self.socket = socket
    }

    /// Whether the server closes the connection in time.
    func ends(within seconds: UInt32) -> Bool {
      var buffer = ReceiveBuffer()
      let deadline = Instant.read().advanced(by: .seconds(seconds))
      while Readiness.wait(for: socket.rawValue, until: deadline) {
        if case .bytes = buffer.receiveStream(socket) { continue }
        return true
      }
      return false
    }
  }

  private static func hello() throws -> [UInt8] {
    var engine = try TLSEngine(client: TLSContext(client: .none), serverName: "localhost")
    engine.handshake()
    return engine.output.copied()
  }

  @Test(
    "Beyond an address's limit of unfinished handshakes the oldest ends, and others complete",
    arguments: [false, true])
  func unfinishedHandshakes(whole: Bool) throws {
    let server = try RunningServer(port: Self.port(whole ? 71 : 70), ["workers=1"])
    let bytes = whole ? try Self.hello() : [22, 3, 1, 2, 0]
    let clients = try (0..<40).map { _ in try SilentClient(to: loopback(1, server.tlsPort), sending: bytes) }
    #expect(server.logs("limit=tls-handshakes "))
    #expect(clients.prefix(8).allSatisfy { $0.ends(within: 5) })
    var session = try server.session(transport: .tls)
    #expect(code { () throws(AllocationSession.Failure) in try session.allocate() } == nil)
    #expect(clients.suffix(30).allSatisfy { !$0.ends(within: 0) })
  }

  @Test("A connection that begins without a ClientHello ends at once, without a TLS engine")
  func implausibleHello() throws {
    let server = try RunningServer(port: Self.port(72))
    let client = try SilentClient(to: loopback(1, server.tlsPort), sending: [22, 3, 1, 2, 0, 2])
    #expect(client.ends(within: 5))
  }

  @Test("A connection without a message ends after 10 seconds", .tags(.slow), arguments: [[], [22, 3, 1], [0, 1, 0]])
  func silence(bytes: [UInt8]) throws {
    let server = try RunningServer(port: Self.port(73), listeners: "tls://127.0.0.1:\(Self.port(73))")
    let client = try SilentClient(to: loopback(1, server.port), sending: bytes)
    #expect(client.ends(within: 30))
  }

  @Test("At limits.strangers-memory the oldest unauthenticated connections end; authenticated ones stay")
  func strangersMemory() throws {
    let server = try RunningServer(port: Self.port(74), ["workers=1", "limits.strangers-memory=1M"])
    var known = try server.session(transport: .tls)
    #expect(code { () throws(AllocationSession.Failure) in try known.allocate() } == nil)
    let hello = try Self.hello()
    let clients = try (0..<24).map { _ in try SilentClient(to: loopback(1, server.tlsPort), sending: hello) }
    #expect(server.logs("limit=strangers-memory "))
    #expect(clients.prefix(4).allSatisfy { $0.ends(within: 5) })
    var other = try server.session("bob", "hunter2", transport: .tls)
    #expect(code { () throws(AllocationSession.Failure) in try other.allocate() } == nil)
    #expect(code { () throws(AllocationSession.Failure) in _ = try known.refresh() } == nil)
  }

  @Test("At limits.strangers-memory the address that holds most bytes gives way, not the one with most connections")
  func heaviestByBytes() throws {
    let server = try RunningServer(port: Self.port(77), ["workers=1", "limits.strangers-memory=1M"])
    let many = try (0..<60).map { _ in try SilentClient(to: loopback(1, server.port), from: IPAddress(127, 0, 0, 2)) }
    let hello = try Self.hello()
    let heavy = try (0..<24).map { _ in
      try SilentClient(to: loopback(1, server.tlsPort), from: IPAddress(127, 0, 1, 3), sending: hello)
    }
    #expect(server.logs("limit=strangers-memory "))
    #expect(heavy.prefix(4).allSatisfy { $0.ends(within: 5) })
    #expect(many.allSatisfy { !$0.ends(within: 0) })
  }

  @Test("The connection of a stranger that reads no answers is closed at the queue's limit")
  func deafStranger() throws {
    let server = try RunningServer(
      port: Self.port(83),
      ["workers=1", "limits.unauthenticated=0", "limits.unauthenticated-per-address=0"])
    let client = try SilentClient(to: loopback(1, server.port))
    var writer = MessageWriter()
    writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: 1, low: 2))
    let bindings = [[UInt8]](repeating: writer.bytes.copied(), count: 200).flatMap { $0 }
    let deadline = Instant.read().advanced(by: .seconds(20))
    // The kernel keeps some megabytes of answers for a client that does not read.
    while Instant.read() < deadline, Readiness.wait(for: client.socket.rawValue, writing: true, until: deadline) {
      guard (try? client.socket.send(bindings.span.rawBytes)) != nil else { break }
    }
    #expect(server.logs(" limit-reached limit=stream-queue-messages "))
  }

  @Test("TLS 1.3: KeyUpdates without data end the connection")
  func keyUpdates() throws {
    let server = try RunningServer(port: Self.port(75))
    let stream = try Stream(to: loopback(1, server.tlsPort), tls: try TLSContext(client: .none))
    #expect(stream.ends { for _ in 0..<40 { try stream.requestKeyUpdate() } })
    #expect(server.logs("limit=messages-without-data "))
  }
}
