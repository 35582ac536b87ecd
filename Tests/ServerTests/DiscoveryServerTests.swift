import System
import Crypto
import NetIO
import NetworkTypes
import STUN
import TestSupport
import Testing

@Suite("RFC 5780: the running server", .serialized)
struct DiscoveryServerTests {
  static func port(_ number: UInt16) -> UInt16 { PortBlock.discovery[number] }

  /// Sends a Binding request from an unconnected socket. Returns the answer's source and its attributes.
  func ask(_ socket: borrowing ClientSocket, _ server: SocketAddress, flags: UInt32?) throws -> (
    source: SocketAddress, other: SocketAddress?, origin: SocketAddress?, code: UInt16?
  )? {
    var writer = MessageWriter()
    writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: 1, low: SecureRandom.word()))
    if let flags { writer.append(.changeRequest, flags) }
    let request = writer.bytes.copied()
    _ = try socket.send(request.span.rawBytes, to: server)
    guard Readiness.wait(for: socket.rawValue, until: Instant.read().advanced(by: .seconds(2))) else { return nil }
    var bytes = [UInt8](repeating: 0, count: 2048)
    var source = SocketAddress.none
    var elements = bytes.mutableSpan
    var room = unsafe elements.mutableBytes
    guard case .bytes(let count) = socket.receive(into: &room, from: &source) else { return nil }
    let answer = Array(bytes[..<count])
    let message = try MessageView(answer.span.rawBytes)
    return (
      source, try message.plainAddress(.otherAddress), try message.plainAddress(.responseOrigin),
      (try? message.errorCode())?.code.rawValue
    )
  }

  @Test(
    "Answers come from the requested socket, from every shard, beside other listeners",
    arguments: [0, 1])
  func fourSockets(way: UInt16) throws {
    let port = Self.port(way)
    // Tests a separate listener on one of the four sockets, then a wildcard listener.
    let server = try RunningServer(
      port: port,
      [
        "nat-discovery.primary=127.0.0.1:\(port)", "nat-discovery.alternate=127.0.0.2:\(port + 1)", "workers=3",
        "limits.unauthenticated-per-address=0",
      ],
      listeners: way == 0 ? "udp://127.0.0.1:\(port)" : "udp://0.0.0.0:\(port),tcp://0.0.0.0:\(port)")
    let a1 = IPAddress(127, 0, 0, 1), a2 = IPAddress(127, 0, 0, 2)
    for _ in 0..<6 {
      // The kernel may choose another shard for each socket.
      let socket = try ClientSocket.udp(boundTo: SocketAddress(a1, port: 0))
      for (address, other) in [(a1, a2), (a2, a1)] {
        for (own, changed) in [(port, port + 1), (port + 1, port)] {
          for flags in [UInt32?.none, 0, 2, 4, 6] {
            let answer = try #require(try ask(socket, SocketAddress(address, port: own), flags: flags))
            let source = SocketAddress(
              (flags ?? 0) & 4 != 0 ? other : address, port: (flags ?? 0) & 2 != 0 ? changed : own)
            #expect(answer.source == source)
            #expect(answer.origin == source)
            #expect(answer.other == SocketAddress(other, port: changed))
          }
        }
      }
    }
    #expect(server.isRunning)
  }

  @Test("An answer from another address is counted in turnpike_request_seconds")
  func requestTime() throws {
    let port = Self.port(2)
    let server = try RunningServer(
      port: port,
      [
        "nat-discovery.primary=127.0.0.1:\(port)", "nat-discovery.alternate=127.0.0.2:\(port + 1)",
        "admin.listen=127.0.0.1:\(port + 2)",
      ], listeners: "udp://127.0.0.1:\(port)")
    let admin = AdminClient(port: port + 2, of: server)
    let socket = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    for flags in [UInt32?.none, 2, 4, 6] {
      _ = try #require(try ask(socket, SocketAddress(.ipv4Loopback, port: port), flags: flags))
    }
    let deadline = Instant.read().advanced(bySeconds: 5)
    while try admin.metrics()["turnpike_request_seconds_count"] != 4 {
      try #require(Instant.read() < deadline)
      Readiness.sleep(until: Instant.read().advanced(byMilliseconds: 20))
    }
  }
}
