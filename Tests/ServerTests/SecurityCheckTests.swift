import ClientIO
import Crypto
import NetworkTypes
import TestSupport
import Testing
import TURNClient

/// Runs our prober against our server, which must refuse every forbidden request.
@Suite("stunclient security against turnpike", .serialized)
struct SecurityCheckTests {
  @Test("The server relays to no forbidden peer", .tags(.slow), arguments: [TransportProtocol.udp, .tcp])
  func security(transport: TransportProtocol) throws {
    let server = try RunningServer(port: PortBlock.probe[transport == .udp ? 0 : 1], ["relay.addresses=127.0.0.1,::1"])
    let address = SocketAddress(.ipv4Loopback, port: server.port)
    let target = ServerTarget(
      uri: ServerURI(scheme: .turn, host: .address(.ipv4Loopback), port: server.port), transport: transport,
      address: address)
    var options = CheckOptions()
    options.timeout = .milliseconds(3000)
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
