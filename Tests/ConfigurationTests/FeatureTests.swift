@testable internal import Configuration
internal import Testing

@Suite("Features that are not there yet, and departures from RFCs")
struct FeatureTests {
  @Test("a key whose feature is missing is refused with its line", arguments: [
    ("listeners: [\"tcp://0.0.0.0:5349?proxy-protocol=v2\"]", "listeners"),
    ("tls: { certificate: a, private-key: b, client-ca: c }", "tls.client-ca"),
    ("auth: { store: \"redis://h\" }", "auth.store"),
    ("auth: { store: \"postgresql://h\" }", "auth.store"),
    ("realms: { other: { store: \"redis://h\" } }", "realms"),
    ("realms: { other: { limits: { bandwidth: 1M } } }", "realms"),
    ("redirect: { domain: a.example }", "redirect.domain"),
    ("limits: { bandwidth: 1M }", "limits.bandwidth"),
    ("limits: { bandwidth-per-user: 1M }", "limits.bandwidth-per-user"),
    ("admin: { listen: 127.0.0.1:9999 }", "admin.listen"),
    ("admin: { token: a }", "admin.token"),
    ("admin: { demo: true }", "admin.demo"),
  ])
  func refused(yaml: String, key: String) throws {
    let error = #expect(throws: ConfigurationError.self) { try reader(yaml).read(file: "t.yml") }
    let problem = try #require(error?.problems.first { $0.severity == .error })
    #expect(problem.key == key)
    #expect(problem.origin == .file(path: "t.yml", line: 1))
    #expect(problem.suggestion != nil)
  }

  @Test("the default value, and switching off, are accepted", arguments: [
    "engine: epoll", "engine: io-uring", "rfc3489: true", "relay: { mobility: true }", "auth: { password-algorithms: [sha256] }",
    "realms: {}", "redirect: { server: \"192.0.2.1:3478\", domain: a.example }", "redirect: { server: \"\", domain: \"\" }", "limits: { bandwidth: 0, bandwidth-per-allocation: 1M }", "admin: { listen: \"\" }",
    "admin: { listen: 127.0.0.1:8478, token: \"\", demo: false }", "nat-discovery: { primary: \"\", alternate: \"\" }",
    "listeners: [\"udp://127.0.0.1:3478?realm=turnpike&auto=true\"]", "auth: { oauth-keys: [] }",
  ])
  func accepted(yaml: String) throws {
    #expect(try reader(yaml).read(file: "t.yml").warnings.isEmpty)
  }

  @Test("a departure from an RFC is a warning that names the key and its line", arguments: [
    ("lifetime: { permission: 10m }", "lifetime.permission"),
    ("lifetime: { channel: 5m }", "lifetime.channel"),
    ("lifetime: { default: 5m }", "lifetime.default"),
    ("lifetime: { maximum: 2h }", "lifetime.maximum"),
    ("relay: { ports: 20000-20010 }", "relay.ports"),
    ("auth: { anonymous: true }", "auth.anonymous"),
    ("peers: { allow: [\"2002::/16\"] }", "peers.allow"),
    ("peers: { allow: [\"2001:0:1::/48\"] }", "peers.allow"),
  ])
  func departures(yaml: String, key: String) throws {
    let warnings = try reader(yaml).read(file: "t.yml").warnings
    #expect(warnings.map(\.key) == [key])
    #expect(warnings.first?.origin == .file(path: "t.yml", line: 1))
  }

  @Test("a maximum lifetime below the default one lowers the default")
  func maximumBelowDefault() throws {
    let lifetime = try reader("lifetime: { maximum: 30s }").read(file: "t.yml").settings.lifetime
    #expect(lifetime.default == 30)
    #expect(lifetime.maximum == 30)
  }
}
