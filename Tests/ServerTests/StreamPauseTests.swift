import ClientIO
import NetworkTypes
import STUN
import TLS
import TestSupport
import Testing

/// Requests over streams that a budget does not allow at once. A client does not retransmit over a stream, so each
/// request must get its answer later.
extension ServerTests {
  @Test(
    "Over a stream a request waits for its address's budget and gets its answer", .tags(.slow),
    arguments: [false, true])
  func pausedStrangers(isSecure: Bool) throws {
    let server = try RunningServer(
      port: Self.port(isSecure ? 78 : 77), ["workers=1", "limits.unauthenticated-per-address=4"])
    let clients = try (0..<12).map { _ in
      let port = isSecure ? server.tlsPort : server.port
      return StreamClient(try Stream(to: loopback(1, port), tls: isSecure ? try TLSContext(client: .none) : nil))
    }
    for client in clients { try client.stream.send(client.request(.allocate)) }
    let codes = try clients.map { try StreamClient.Answer(try $0.stream.receiveMessage()).code }
    #expect(codes == [UInt16?](repeating: 401, count: 12))
    #expect(server.logs("limit=unauthenticated-per-address "))
  }

  @Test("Over a stream wrong passwords are delayed, and a correct one from the same address is not")
  func slowedPasswords() throws {
    let server = try RunningServer(port: Self.port(79), ["workers=1"])
    let client = StreamClient(try Stream(to: loopback(1, server.port)), password: "wrong")
    let codes = try (0..<14).map { _ in try client.ask(.allocate).code }
    #expect(codes == [UInt16?](repeating: 401, count: 14))
    #expect(server.logs("limit=failed-logins-per-address "))
    var neighbour = try server.session(transport: .tcp)
    #expect(code { () throws(AllocationSession.Failure) in try neighbour.allocate() } == nil)
  }

  @Test("Over a stream a request waits for its store look-up, and a client that disconnects leaves no state")
  func postponedLookUps() throws {
    let server = try RunningServer(port: Self.port(80), ["workers=1"], users: false)
    #expect(try server.command(["user", "add", "carol", "--password-stdin"], input: "correct horse\n").status == 0)
    // Each unknown name needs a look-up, of which 20 per second are allowed.
    for number in 0..<24 {
      var stranger = try server.session("stranger\(number)", "none", transport: .tcp)
      #expect(code { () throws(AllocationSession.Failure) in try stranger.allocate() } == 401)
    }
    #expect(server.logs("limit=store-look-ups-per-address "))
    _ = try server.session("another", "none", transport: .tcp)
    var carol = try server.session("carol", "correct horse", transport: .tcp)
    #expect(code { () throws(AllocationSession.Failure) in try carol.allocate() } == nil)
  }
}
