import NetworkTypes
import STUN
import Testing

extension TCPRelayServerTests {
  @Test(
    "A mobile client continues over another connection, on any shard",
    arguments: [false, true])
  func mobility(secure: Bool) throws {
    let server = try server(secure ? 12 : 11, ["relay.mobility=true"])
    for _ in 0..<6 {
      let first = try open(server)
      let answer = try first.ask(.allocate) {
        $0.append(.requestedTransport, UInt32(17) << 24)
        $0.append(.mobilityTicket, [UInt8]())
      }
      let ticket = try #require(answer.ticket)
      let second = try open(server, secure: secure)
      let moved = try second.ask(.refresh) { $0.append(.mobilityTicket, ticket) }
      #expect(moved.code == nil)
      #expect(moved.ticket != nil)
      #expect(try second.permit(SocketAddress(IPAddress(127, 0, 0, 2), port: 1)).code == nil)
      #expect(try second.ask(.refresh) { $0.append(.lifetime, 0 as UInt32) }.code == nil)
    }
  }
}
