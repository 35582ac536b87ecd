import Crypto
import NetIO
import System
import NetworkTypes
import STUN
import Synchronization
import TLS
import TURNClient
import TestSupport
import Testing

@testable import ClientIO

/// A server that sends invalid datagrams without end.
@Suite("A flood of invalid datagrams", .serialized)
struct FloodTests {
  static func options(_ timeout: Duration) throws -> CheckOptions {
    var options = CheckOptions()
    options.timeout = timeout
    options.dtls = try TLSContext(client: .none, isDatagram: true)
    return options
  }

  static func bind(_ flooder: Flooder, _ timeout: Duration) throws -> (failure: CheckFailure?, milliseconds: UInt64) {
    let target = ServerTarget(uri: try ServerURI(parsing: "127.0.0.1"), transport: .dtls, address: flooder.address)
    var generator = SeededGenerator(seed: [5])
    let begin = Instant.read()
    let failure = BindingCheck.run(target, try options(timeout), generator: &generator).verdict
    return (failure, Instant.read().nanoseconds(since: begin) / 1_000_000)
  }

  @Test("One call reads a bounded number of datagrams without a message, then returns to the timer")
  func boundedReading() throws {
    let server = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    let socket = try ClientSocket.udp(to: server.localAddress ?? .none)
    let layer = try DatagramLayer(try TLSContext(client: .none, isDatagram: true), "127.0.0.1")
    layer.secure.engine.handshake()
    try layer.flush(over: socket)
    let noise = [UInt8](repeating: 0xEE, count: 40)
    for _ in 0..<100 { _ = try server.send(noise.span.rawBytes, to: socket.localAddress ?? .none) }
    var buffer = [UInt8](repeating: 0, count: 2048)
    #expect(try layer.receive(from: socket, into: &buffer) == .wouldBlock)
    #expect(Readiness.wait(for: socket.rawValue, until: .read()), "all of the flood was taken at once")
    #expect(try layer.receive(from: socket, into: &buffer) == .wouldBlock)
    #expect(!Readiness.wait(for: socket.rawValue, until: .read()))
  }

  @Test("A DTLS handshake under a flood is retransmitted and ends at its deadline", .tags(.slow))
  func handshake() throws {
    let flooder = try Flooder(nil)
    defer { flooder.stop() }
    let (failure, milliseconds) = try Self.bind(flooder, .milliseconds(1400))
    #expect(failure?.reason == .timeout)
    #expect((1400...4000).contains(milliseconds), "\(milliseconds) ms")
    // The first flight and its retransmission after a second.
    #expect(flooder.received >= 2)
  }

  @Test("A request over DTLS under a flood is retransmitted and ends at its deadline", .tags(.slow))
  func request() throws {
    let identity = try SelfSignedCertificate(
      commonName: "x", hostNames: [], addresses: [.ipv4Loopback], now: Now.read().wall)
    let files = try CertificateFiles(
      chain: .bytes(identity.certificate, name: "c"), key: .bytes(identity.key, name: "k"))
    let flooder = try Flooder(TLSContext(server: files, isDatagram: true))
    defer { flooder.stop() }
    let (failure, milliseconds) = try Self.bind(flooder, .milliseconds(1200))
    #expect(flooder.isEstablished)
    #expect(failure?.reason == .timeout && failure?.message.contains("no answer to 1 request, sent 2 times") == true)
    #expect((1200...5000).contains(milliseconds), "\(milliseconds) ms")
  }
}

/// Answers the handshake if requested, and then sends garbage from several threads as fast as possible.
final class Flooder: Sendable {
  private final class Owned: Sendable {
    let socket: ClientSocket
    init(_ socket: consuming ClientSocket) { self.socket = socket }
  }

  let address: SocketAddress
  private let owned: Owned
  private let client = Mutex<SocketAddress?>(nil)
  private let count = Atomic(0)
  private let established = Atomic(false)
  private let stopped = Atomic(false)

  /// The number of datagrams from the client.
  var received: Int { count.load(ordering: .relaxed) }
  var isEstablished: Bool { established.load(ordering: .relaxed) }
  func stop() { stopped.store(true, ordering: .relaxed) }

  init(_ context: TLSContext?) throws {
    let owned = Owned(try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0)))
    self.owned = owned
    address = owned.socket.localAddress ?? .none
    if context == nil { established.store(true, ordering: .relaxed) }
    _ = try System.Thread(name: "flood-listen") { self.listen(context) }
    for index in 0..<3 { _ = try System.Thread(name: "flood-\(index)") { self.flood() } }
  }

  /// Sends DTLS 1.2 records that no key decrypts, and bytes that are no record.
  private func flood() {
    let record: [UInt8] = [23, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 9, 0, 20] + [UInt8](repeating: 0x5A, count: 20)
    let noise = [UInt8](repeating: 0xEE, count: 40)
    while !stopped.load(ordering: .relaxed) {
      guard isEstablished, let client = client.withLock({ $0 }) else {
        Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(1)))
        continue
      }
      for _ in 0..<64 {
        _ = try? owned.socket.send(record.span.rawBytes, to: client)
        _ = try? owned.socket.send(noise.span.rawBytes, to: client)
      }
    }
  }

  private func listen(_ context: TLSContext?) {
    let key = HelloCookieKey([UInt8](repeating: 7, count: 32))
    guard let context, var engine = try? DTLSEngine(server: context, cookieKey: key) else {
      while receive() != nil {}
      return
    }
    while let datagram = receive(), engine.listen(datagram.span.rawBytes, from: [1], at: .read()) != .verified {
      send(&engine)
    }
    engine.handshake()
    send(&engine)
    while !engine.isEstablished, let datagram = receive() {
      engine.receive(datagram.span.rawBytes)
      engine.handshake()
      send(&engine)
    }
    established.store(true, ordering: .relaxed)
    while receive() != nil {}
  }

  private func send(_ engine: inout DTLSEngine) {
    guard let client = client.withLock({ $0 }) else { return }
    while let datagram = engine.takeDatagram() { _ = try? owned.socket.send(datagram.span.rawBytes, to: client) }
  }

  /// The next datagram; nil at the end of the test.
  private func receive() -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 2048)
    while !stopped.load(ordering: .relaxed) {
      guard Readiness.wait(for: owned.socket.rawValue, until: Instant.read().advanced(by: .milliseconds(20))) else {
        continue
      }
      var source = SocketAddress.none
      var span = buffer.mutableSpan
      var bytes = unsafe span.mutableBytes
      guard case .bytes(let size) = owned.socket.receive(into: &bytes, from: &source) else { continue }
      client.withLock { $0 = source }
      count.add(1, ordering: .relaxed)
      return Array(buffer.prefix(size))
    }
    return nil
  }
}
