import ClientIO
import JSON
import NetIO
import NetworkTypes
import System
import Testing

extension AdminServerTests {
  /// An RTP packet of Opus.
  private func rtp(_ number: Int) -> [UInt8] {
    let time = UInt32(truncatingIfNeeded: number * 960)
    let high = UInt8(truncatingIfNeeded: number >> 8)
    return [0x80, 111, high, UInt8(truncatingIfNeeded: number)]
      + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: time >> $0) } + [1, 2, 3, 4, 5]
  }

  @Test(
    "Without a challenge the round trip of a TCP connection is the kernel's", arguments: [TransportProtocol.tcp, .tls])
  func roundTripOfConnection(transport: TransportProtocol) throws {
    let (server, admin) = try start(41, ["auth.anonymous=true", "auth.users=", "log.level=info"])
    var session = try server.session(transport: transport)
    try session.allocate()
    #expect(
      try soon {
        let quality = try admin.document("/api/v1/sessions")["sessions"]?[0]?["quality"]
        return (1...1_000_000).contains(quality?["round-trip-us"]?.integer ?? 0)
      })
    try session.delete()
    #expect(server.logs(" round-trip-us="))
    // Over UDP the round trip is unknown without a challenge.
    var other = try server.session()
    try other.allocate()
    #expect(try soon { try admin.document("/api/v1/sessions")["sessions"]?[0]?["quality"]?["round-trip-us"] == nil })
  }

  @Test("Sessions, log and metrics show the loss of a client's RTP and the client's round trip")
  func quality() throws {
    let (server, admin) = try start(40, ["log.level=info"])
    var alice = try server.session()
    try alice.allocate()
    let sink = try ClientSocket.udp(boundTo: SocketAddress(.ipv4Loopback, port: 0))
    let peer = SocketAddress(.ipv4Loopback, port: sink.localAddress?.port ?? 0)
    _ = try alice.bindChannel(to: peer)
    for number in 0..<220 where number % 10 != 9 {
      try alice.send(rtp(number), to: peer, until: Instant.read().advanced(by: .seconds(1)))
    }
    #expect(
      try soon {
        let quality = try admin.document("/api/v1/sessions")["sessions"]?[0]?["quality"]
        let media = quality?["from-client"]
        return media?["basis"]?.string == "rtp" && media?["packets"]?.integer == 197 && media?["lost"]?.integer == 21
          && quality?["from-peers"] == nil && (quality?["round-trip-us"]?.integer ?? 0) > 0
      })
    try alice.delete()
    #expect(server.logs(" from-client-rtp-packets=197 from-client-rtp-lost=21 round-trip-us="))
    #expect(
      try soon {
        let metrics = try admin.metrics()
        return metrics[#"turnpike_rtp_packets_total{from="clients"}"#] == 197
          && metrics[#"turnpike_allocation_loss_ratio_bucket{from="clients",le="0.1"}"#] == 1
          && metrics[#"turnpike_allocation_loss_ratio_bucket{from="clients",le="0.05"}"#] == 0
          && metrics["turnpike_client_round_trip_seconds_count"] == 1
      })
  }
}
