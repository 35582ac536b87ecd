import Foundation
import Testing
import TestSupport

/// Tests `stunclient` with tokens from `turnpike oauth-token`.
@Suite("stunclient with access tokens", .serialized)
struct AccessTokenProbeTests {
  @Test("An access token opens a relay; an expired or damaged one, or one of another key, does not")
  func probe() throws {
    let key = "{id: north, key: \"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\", algorithm: A256GCM}"
    let folder = try TemporaryDirectory()
    let configuration = try folder.write("auth: { oauth-keys: [ \(key) ] }\n", to: "turnpike.yml")
    let server = try RunningServer(port: PortBlock.probe[2], users: false, configuration: configuration)
    let made = try Child.run(RunningServer.program, ["oauth-token", "--config", configuration], environment: [:])
    #expect(made.status == 0, "\(made.errors)")
    func probe(_ token: String, _ uri: String) throws -> Child.Result {
      let file = try folder.write(token, to: "token.json")
      return try Child.run(Paths.program("stunclient"), ["--oauth-token-file", file, uri], environment: [:])
    }
    for uri in ["turn:127.0.0.1:\(PortBlock.probe[2])", "turn:127.0.0.1:\(PortBlock.probe[2])?transport=tcp"] {
      let good = try probe(made.output, uri)
      #expect(good.status == 0, "\(good.errors)")
      let damaged = made.output.replacingOccurrences(of: "\"mac_key\":\"", with: "\"mac_key\":\"AAAA")
      #expect(try probe(damaged, uri).status != 0)
      let other = try probe(made.output.replacingOccurrences(of: "north", with: "south"), uri)
      #expect(other.status == 2 && other.output.contains("its kid is not among the server's keys"), "\(other.output)")
    }
    #expect(try probe("{\"kid\":\"x\"}", "turn:127.0.0.1:\(PortBlock.probe[2])").status == 3)
    withExtendedLifetime(server) {}
  }
}
