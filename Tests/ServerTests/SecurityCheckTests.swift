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
    let report = SecurityCheck.run(target, options, generator: SeededGenerator(seed: [4]))
    #expect(report.failure == nil)
    #expect(report.letThrough == [])
    #expect(report.findings.count > 35)
    withExtendedLifetime(server) {}
  }
}
