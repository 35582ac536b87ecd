import NetIO
import NetworkTypes
import STUN
import TestSupport
import Testing

/// The keys of `limits`.
extension KeyBehaviourTests {
  @Test(
    "limits.permissions-per-allocation and limits.new-peers-per-user refuse one more peer",
    arguments: ["permissions-per-allocation", "new-peers-per-user"])
  func peers(key: String) throws {
    let server = try start(15, ["limits.\(key)=2"])
    let client = try client(server)
    try allocate(client)
    let codes = try (1...3).map { try client.permit(SocketAddress("127.0.0.\($0):9")!).code }
    #expect(codes == [nil, nil, 508])
    #expect(server.logs("key=limits.\(key)"))
  }

  @Test("limits.connects-per-user refuses one more Connect in a second")
  func connects() throws {
    let server = try start(19, ["limits.connects-per-user=2"])
    let client = try client(server)
    _ = try client.allocateTCP()
    let peers = try (0..<4).map { _ in try StreamPeer() }
    let codes = try peers.map { try client.connect($0.address).code }
    #expect(codes.prefix(2) == [nil, nil] && codes.contains(508))
    #expect(server.logs("key=limits.connects-per-user"))
  }

  @Test(
    "Each limit of bandwidth drops media",
    arguments: [
      ("bandwidth-per-allocation", "over_bandwidth"), ("bandwidth-per-user", "over_user_bandwidth"),
      ("bandwidth", "over_server_bandwidth"),
    ])
  func bandwidth(key: String, cause: String) throws {
    let port = PortBlock.keys[16]
    let server = try start(16, ["limits.\(key)=4000", "admin.listen=127.0.0.1:\(port + 2)"])
    let client = try client(server)
    try allocate(client)
    _ = try client.permit(Self.peer)
    for _ in 0..<30 { try client.stream.send(Self.indication(500)) }
    let admin = AdminClient(port: port + 2, of: server)
    #expect(
      try AdminServerTests().soon {
        let metrics = try admin.metrics()
        let passed = metrics[#"turnpike_relayed_packets_total{direction="to_peers"}"#] ?? 0
        return passed + (metrics["turnpike_drops_total{cause=\"\(cause)\"}"] ?? 0) == 30 && (1...29).contains(passed)
      })
  }

  @Test("limits.unauthenticated holds for all addresses together")
  func unauthenticated() throws {
    let port = PortBlock.keys[17]
    let server = try start(17, ["limits.unauthenticated=8", "admin.listen=127.0.0.1:\(port + 2)"])
    var writer = MessageWriter()
    for last in 1...60 {
      let socket = try ClientSocket.udp(
        to: SocketAddress(.ipv4Loopback, port: port), from: SocketAddress(IPAddress(127, 0, 0, UInt8(last)), port: 0))
      writer.begin(MessageType(.binding, .request), transactionID: TransactionID(high: 1, low: UInt64(last)))
      _ = try socket.send(writer.bytes)
    }
    let admin = AdminClient(port: port + 2, of: server)
    #expect(
      try AdminServerTests().soon {
        let metrics = try admin.metrics()
        let dropped = metrics[#"turnpike_drops_total{cause="rate_limited_in_all"}"#] ?? 0
        let answered = metrics[#"turnpike_responses_total{method="binding",code="0"}"#] ?? 0
        return dropped + answered == 60 && (1...30).contains(answered)
      })
  }
}
