@testable internal import Configuration
internal import Testing
internal import TURN

@Suite("Missing features and departures from RFCs")
struct FeatureTests {
  @Test(
    "A key of a missing feature is refused with its line",
    arguments: [
      ("auth: { store: \"redis://h\" }", "auth.store"),
      ("auth: { store: \"postgresql://h\" }", "auth.store"),
      ("realms: { other: { store: \"redis://h\" } }", "realms"),
      ("redirect: { domain: a.example }", "redirect.domain"),
    ])
  func refused(yaml: String, key: String) throws {
    let error = #expect(throws: ConfigurationError.self) { try reader(yaml).read(file: "t.yml") }
    let problem = try #require(error?.problems.first { $0.severity == .error })
    #expect(problem.key == key)
    #expect(problem.origin == .file(path: "t.yml", line: 1))
    #expect(problem.suggestion != nil)
  }

  @Test(
    "The default value of a missing feature, and switching it off, are accepted",
    arguments: [
      "engine: epoll", "engine: io-uring", "rfc3489: true", "relay: { mobility: true }",
      "auth: { password-algorithms: [sha256] }",
      "realms: {}", "realm: a.realm.of.20.bytes.",
      "limits: { unauthenticated: 5, new-peers-per-user: 5, connects-per-user: 5 }",
      "redirect: { server: \"192.0.2.1:3478\", domain: a.example }",
      "redirect: { server: \"\", domain: \"\" }", "limits: { bandwidth: 0, bandwidth-per-allocation: 1M }",
      "limits: { bandwidth: 1G, bandwidth-per-user: 1M }", "realms: { other: { limits: { bandwidth: 1M } } }",
      "admin: { listen: \"\" }",
      "{ listeners: [\"tls://0.0.0.0:1\", \"dtls://0.0.0.0:1\"], tls: { client-ca: c } }",
      "{ listeners: [\"tcp://0.0.0.0:5349?proxy-protocol=v2\"], proxy-protocol: { trusted: [10.0.0.5] } }",
      "admin: { listen: 127.0.0.1:8478, token: \"\", demo: true }",
      "nat-discovery: { primary: \"\", alternate: \"\" }",
      "listeners: [\"udp://127.0.0.1:3478?realm=turnpike&auto=true\"]", "auth: { oauth-keys: [] }",
    ])
  func accepted(yaml: String) throws {
    #expect(try reader(yaml).read(file: "t.yml").warnings.isEmpty)
  }

  @Test(
    "A departure from an RFC is a warning with the key and its line",
    arguments: [
      ("lifetime: { permission: 10m }", "lifetime.permission"),
      ("lifetime: { channel: 5m }", "lifetime.channel"),
      ("lifetime: { default: 5m }", "lifetime.default"),
      ("lifetime: { maximum: 2h }", "lifetime.maximum"),
      ("relay: { ports: 20000-20010 }", "relay.ports"),
      ("auth: { anonymous: true }", "auth.anonymous"),
      ("realm: a.realm.of.21.bytes.x", "realm"),
      ("realms: { a.realm.of.21.bytes.x: {} }", "realms.a.realm.of.21.bytes.x"),
      ("peers: { allow: [\"2002::/16\"] }", "peers.allow"),
      ("peers: { allow: [\"2001:0:1::/48\"] }", "peers.allow"),
      ("proxy-protocol: { trusted: [10.0.0.5] }", "proxy-protocol.trusted"),
      ("tls: { client-ca: c }", "tls.client-ca"),
      (
        "{ listeners: [\"tcp://0.0.0.0:1?proxy-protocol=v2\"], proxy-protocol: { trusted: [0.0.0.0/0] } }",
        "proxy-protocol.trusted"
      ),
    ])
  func departures(yaml: String, key: String) throws {
    let warnings = try reader(yaml).read(file: "t.yml").warnings
    #expect(warnings.map(\.key) == [key])
    #expect(warnings.first?.origin == .file(path: "t.yml", line: 1))
  }

  @Test("A maximum lifetime below the default one lowers the default")
  func maximumBelowDefault() throws {
    let policy = try reader("lifetime: { maximum: 30s }").read(file: "t.yml").settings.turn
    #expect(policy.defaultLifetime == .seconds(30))
    #expect(policy.maximumLifetime == .seconds(30))
  }
}
