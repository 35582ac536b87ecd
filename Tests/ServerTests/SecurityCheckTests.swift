import ClientIO
import Crypto
import NetworkTypes
import TURNClient
import Testing

/// Our own server before our own prober: nothing may be let through.
@Suite("What the server lets through", .serialized)
struct SecurityCheckTests {
  @Test(arguments: [TransportProtocol.udp, .tcp])
  func `Nothing that a relay must refuse`(transport: TransportProtocol) throws {
    let server = try RunningServer(port: transport == .udp ? 25_400 : 25_410, ["relay.addresses=127.0.0.1,::1"])
    let address = SocketAddress(.ipv4Loopback, port: server.port)
    let target = ServerTarget(
      uri: ServerURI(scheme: .turn, host: .address(.ipv4Loopback), port: server.port), transport: transport,
      address: address)
    var options = CheckOptions()
    options.timeout = 3000
    options.credential = LongTermCredential(username: "alice", password: "secret")
    options.otherCredential = LongTermCredential(username: "bob", password: "hunter2")
    let report = SecurityCheck.run(target, options, generator: SeededGenerator(seed: [4]))
    #expect(report.failure == nil)
    #expect(report.letThrough == [])
    #expect(report.findings.count > 35)
    let others = report.findings.filter { $0.check == "other-user" }
    #expect(others.map(\.verdict) == [.refused, .refused])
    #expect(others.map(\.detail) == ["441 Wrong Credentials", "441 Wrong Credentials"])
    withExtendedLifetime(server) {}
  }
}
