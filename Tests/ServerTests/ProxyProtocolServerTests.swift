import Foundation
import NetIO
import NetworkTypes
import STUN
import TestSupport
import Testing
import TLS

/// Listeners behind proxies (PROXY protocol, version 2).
@Suite("The running server behind a proxy", .serialized)
struct ProxyProtocolServerTests {
  private static func port(_ number: UInt16) -> UInt16 { PortBlock.proxyProtocol[number] }

  /// The header of a client's address, towards 203.0.113.1:3478 or its IPv6 counterpart.
  static func header(_ client: String) throws -> [UInt8] {
    let address = try #require(SocketAddress(client))
    func bytes(_ address: IPAddress) -> [UInt8] {
      let words = [address.high, address.low].flatMap { word in
        stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: word >> UInt64($0)) }
      }
      return address.family == .ipv4 ? Array(words[12...]) : words
    }
    let server = address.family == .ipv4 ? IPAddress(203, 0, 113, 1) : try #require(IPAddress("2001:db8::1"))
    let ports = [UInt8(address.port >> 8), UInt8(truncatingIfNeeded: address.port), 0x0D, 0x96]
    let rest = bytes(address.address) + bytes(server) + ports
    return signature + [0x21, address.family == .ipv4 ? 0x11 : 0x21, 0, UInt8(rest.count)] + rest
  }

  private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
  private static let local: [UInt8] = signature + [0x20, 0, 0, 0]

  private func server(_ number: UInt16, _ settings: [String] = [], trusted: String? = "127.0.0.0/8") throws
    -> RunningServer
  {
    let port = Self.port(number)
    let listeners = "tcp://127.0.0.1:\(port)?proxy-protocol=v2,tls://127.0.0.1:\(port + 1)?proxy-protocol=v2"
    return try RunningServer(
      port: port, (trusted.map { ["proxy-protocol.trusted=\($0)"] } ?? []) + settings, listeners: listeners)
  }

  private func connect(
    _ server: RunningServer, _ preface: [UInt8], secure: Bool = false, from last: UInt8 = 1
  ) throws -> Stream {
    try Stream(
      to: SocketAddress(.ipv4Loopback, port: secure ? server.tlsPort : server.port),
      from: SocketAddress(IPAddress(127, 0, 0, last), port: 0), preface: preface,
      tls: secure ? try TLSContext(client: .none) : nil)
  }

  /// The mapped address of a Binding.
  private func mapped(_ stream: Stream) throws -> String {
    try stream.send(StreamClient(stream).request(.binding))
    let bytes = try stream.receiveMessage()
    return "\(try MessageView(bytes.span.rawBytes).xorAddress(.xorMappedAddress) ?? .none)"
  }

  @Test(
    "The address in the header is the client's mapped address, and its address in the log",
    arguments: ["198.51.100.7:4242", "[2001:db8::7]:4242"], [false, true])
  func address(client: String, secure: Bool) throws {
    let server = try server(0)
    let stream = try connect(server, Self.header(client), secure: secure)
    #expect(try mapped(stream) == client)
    #expect(try StreamClient(stream).ask(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) }.code == nil)
    #expect(server.logs("user=alice client=\(client) transport=\(secure ? "tls" : "tcp") "))
  }

  @Test("A header may arrive byte by byte, and with the client's first message in one segment")
  func divided() throws {
    let server = try server(1)
    let header = try Self.header("198.51.100.7:4242")
    let whole = try connect(server, header + StreamClient(try connect(server, [])).request(.binding))
    _ = try whole.receiveMessage()
    #expect(try mapped(whole) == "198.51.100.7:4242")
    let slow = try connect(server, [])
    for byte in header { try slow.send([byte]) }
    #expect(try mapped(slow) == "198.51.100.7:4242")
  }

  @Test("With LOCAL the client's address is that of the connection")
  func ownAddress() throws {
    let server = try server(2)
    let stream = try connect(server, Self.local, from: 9)
    #expect(try mapped(stream) == "\(stream.localAddress)")
  }

  private static let wrong: [(bytes: [UInt8], reason: String)] = {
    let datagram: [UInt8] = signature + [0x21, 0x12, 0, 12] + [UInt8](repeating: 1, count: 12)
    let binding: [UInt8] = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42] + [UInt8](repeating: 7, count: 12)
    return [
      (Array("PROXY TCP4 198.51.100.7 203.0.113.1 4242 3478\r\n".utf8), "version 1"),
      (datagram, "not TCP over IPv4 or IPv6"), (signature + [0x21, 0x11, 0xFF, 0xFF], "more than 4096 bytes"),
      (binding, "no PROXY header"), ([0x16, 3, 1, 2, 0, 1], "no PROXY header"),
    ]
  }()

  @Test("A connection without a valid header is closed, and the log has the reason", arguments: wrong)
  func refused(bytes: [UInt8], reason: String) throws {
    let port = Self.port(3)
    let server = try server(3, ["admin.listen=127.0.0.1:\(port + 2)"])
    let stream = try connect(server, bytes)
    #expect(try stream.receiveToEnd().isEmpty)
    #expect(server.logs("proxy-refused address=127.0.0.1 reason="))
    #expect(server.logged(reason))
    let admin = AdminClient(port: port + 2, of: server)
    #expect(try AdminServerTests().soon { try admin.metrics()["turnpike_refused_proxies_total"] == 1 })
  }

  @Test("A connection from an address that is not trusted is closed; a reload changes the trusted ones")
  func untrusted() throws {
    let folder = try TemporaryDirectory()
    let file = try folder.write("proxy-protocol: { trusted: [ 127.0.0.9 ] }\n", to: "turnpike.yml")
    let port = Self.port(4)
    let server = try RunningServer(
      port: port, listeners: "tcp://127.0.0.1:\(port)?proxy-protocol=v2", configuration: file)
    let header = try Self.header("198.51.100.7:4242")
    #expect(try mapped(connect(server, header, from: 9)) == "198.51.100.7:4242")
    #expect(try connect(server, header, from: 8).receiveToEnd().isEmpty)
    #expect(server.logs("proxy-refused address=127.0.0.8 reason=\"not in proxy-protocol.trusted\""))
    try folder.write("proxy-protocol: { trusted: [ 127.0.0.8 ] }\n", to: "turnpike.yml")
    server.send(SIGHUP)
    #expect(server.logs("reloaded"))
    #expect(try mapped(connect(server, header, from: 8)) == "198.51.100.7:4242")
    #expect(try connect(server, header, from: 9).receiveToEnd().isEmpty)
  }

  @Test("Limits of an address count the clients, not the proxy")
  func limits() throws {
    let server = try server(5, ["limits.allocations-per-address=1"])
    func allocate(_ client: String) throws -> (Stream, UInt16?) {
      let stream = try connect(server, Self.header(client))
      let code = try StreamClient(stream).ask(.allocate) { $0.append(.requestedTransport, UInt32(17) << 24) }.code
      return (stream, code)
    }
    let first = try allocate("198.51.100.7:1")
    let second = try allocate("198.51.100.8:1")
    let third = try allocate("198.51.100.8:2")
    #expect(first.1 == nil)
    #expect(second.1 == nil)
    #expect(third.1 == 486)
  }

  @Test("A connection that moves to another shard keeps the client's address", arguments: [false, true])
  func moved(secure: Bool) throws {
    let server = try server(secure ? 7 : 6, ["relay.mobility=true", "peers.allow=127.0.0.0/8"])
    var first = StreamClient(try connect(server, Self.header("198.51.100.7:1")))
    var ticket = try #require(
      try first.ask(.allocate) {
        $0.append(.requestedTransport, UInt32(17) << 24)
        $0.append(.mobilityTicket, [UInt8]())
      }.ticket)
    for number in 2..<10 {
      let client = "198.51.100.9:\(number)"
      let stream = try connect(server, Self.header(client), secure: secure)
      let next = StreamClient(stream)
      ticket = try #require(try next.ask(.refresh) { $0.append(.mobilityTicket, ticket) }.ticket)
      #expect(try mapped(stream) == client)
      #expect(try next.permit(SocketAddress(IPAddress(127, 0, 0, 2), port: 1)).code == nil)
      first = next
    }
  }

  @Test("A header that does not come ends the connection after 10 seconds", .tags(.slow), arguments: [0, 5, 20])
  func silence(count: Int) throws {
    let server = try server(8)
    let stream = try connect(server, Array(Self.header("198.51.100.7:4242")[..<count]))
    #expect(stream.hears(within: 30_000))
    #expect(try stream.receiveToEnd().isEmpty)
  }

  @Test("The printed URLs leave a listener behind a proxy out")
  func urls() throws {
    let port = Self.port(9)
    let server = try RunningServer(
      port: port, ["proxy-protocol.trusted=127.0.0.9"],
      listeners: "udp://127.0.0.1:\(port),tcp://127.0.0.1:\(port)?proxy-protocol=v2", users: false)
    #expect(server.line.contains("transport=udp"))
    #expect(!server.line.contains("transport=tcp"))
  }
}
