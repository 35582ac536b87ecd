@testable internal import Configuration
internal import Testing

@Suite("Wrong configurations")
struct WrongConfigurationTests {
  struct Slip: CustomTestStringConvertible, Sendable {
    var key: String
    var value: String
    var suggestion: String
    var testDescription: String { "\(key): \(value)" }

    init(_ key: String, _ value: String, _ suggestion: String) {
      self.key = key
      self.value = value
      self.suggestion = suggestion
    }
  }

  static let slips: [Slip] = [
    Slip("realm", "\"a:b\"", "example.org"),
    Slip("software", "[a]", "Turnpike"),
    Slip("rfc3489", "yes", "did you mean true?"),
    Slip("rfc5766-channels", "ye", "true"),
    Slip("public-name", "192.0.2.1", "turn.example.org"),
    Slip("public-name", "turn_1.example", "turn.example.org"),
    Slip("workers", "-1", "2"), Slip("workers", "many", "2"),
    Slip("engine", "epol", "did you mean epoll?"),
    Slip("drain-timeout", "2d", "10m"),
    Slip("state-directory", "{ a: b }", "/var/lib/turnpike"),
    Slip("listeners", "udp://0.0.0.0:3478", "[udp://0.0.0.0:3478]"),
    Slip("listeners", "[]", "[udp://0.0.0.0:3478]"),
    Slip("listeners", "[upd://0.0.0.0:3478]", "did you mean udp://?"),
    Slip("listeners", "[udp://localhost:3478]", "udp://0.0.0.0:3478"),
    Slip("listeners", "[udp://192.0.2.1]", "did you mean udp://192.0.2.1:3478?"),
    Slip("listeners", "[\"tls://2001:db8::1\"]", "did you mean tls://[2001:db8::1]:5349?"),
    Slip("listeners", "[udp://0.0.0.0:65536]", "udp://0.0.0.0:3478"),
    Slip("listeners", "[udp://0.0.0.0:0]", "udp://0.0.0.0:3478"),
    Slip("listeners", "[udp://0.0.0.0:3478, udp://0.0.0.0:3478]", "keep one"),
    Slip("listeners", "[udp://0.0.0.0:3478, dtls://0.0.0.0:3478]", "keep one"),
    Slip("listeners", "[udp://0.0.0.0:3478?relam=x]", "did you mean realm?"),
    Slip("listeners", "[udp://0.0.0.0:3478?realm=nowhere]", "add it to realms"),
    Slip("listeners", "[udp://0.0.0.0:3478?auto=no]", "?auto=false"),
    Slip("listeners", "[udp://0.0.0.0:3478?proxy-protocol=v2]", "remove"),
    Slip("listeners", "[tcp://0.0.0.0:3478?proxy-protocol=v1]", "?proxy-protocol=v2"),
    Slip("listeners", "[tcp://0.0.0.0:3478?proxy-protocol=v2]", "the addresses of your proxies"),
    Slip("proxy-protocol.trusted", "[proxy.example.org]", "10.0.0.0/8"),
    Slip("tls.certificate", "file:/etc/cert.pem", "without file:"),
    Slip("tls.certificate", "/only/the/certificate.pem", "give both"),
    Slip("tls.private-key", "[a]", "/etc/turnpike/privkey.pem"),
    Slip("tls.minimum-version", "1.1", "1.2"),
    Slip("tls.client-ca", "[a]", "/etc/turnpike/clients.pem"),
    Slip("tls.certificates", "[{ certificate: /a.pem }]", "write private-key: PATH"),
    Slip("tls.certificates", "[{ private-key: /a.pem }]", "write certificate: PATH"),
    Slip("tls.certificates", "[/a.pem]", "{ certificate: /a.pem, private-key: /a.key }"),
    Slip("tls.certificates", "[{ certificate: /a.pem, private-key: /a.key }]", "move the first one to tls.certificate"),
    Slip("relay.addresses", "[0.0.0.0]", "192.0.2.10"),
    Slip("relay.addresses", "[192.0.2.1, 192.0.2.1]", "keep one"),
    Slip("relay.advertise", "{ 192.0.2.1: \"2001:db8::1\" }", "IPv4"),
    Slip("relay.advertise", "[192.0.2.1]", "{ 192.0.2.10: 203.0.113.5 }"),
    Slip("relay.advertise", "atuo", "did you mean auto?"),
    Slip("relay.advertise", "0.0.0.0", "203.0.113.5"),
    Slip("relay.advertise", "turn_1.example.org", "203.0.113.5"),
    Slip("relay.detect", "[interfaec]", "did you mean interface?"),
    Slip("relay.detect", "[stun.example.org]", "did you mean stun:stun.example.org?"),
    Slip("relay.detect", "[\"stun:stun.example.org:0\"]", "stun:stun.example.org"),
    Slip("relay.detect", "[cloud, cloud]", "keep one"),
    Slip(
      "relay.detect",
      "[\"stun:a\", \"stun:b\", \"stun:c\", \"stun:d\", \"stun:e\", \"stun:f\", \"stun:g\", \"stun:h\", cloud]",
      "leave some out"),
    Slip("relay.detect-interval", "0s", "10m"),
    Slip("relay.ports", "65535-1024", "49152-65535"),
    Slip("relay.ports", "1000-2000", "49152-65535"),
    Slip("relay.ports", "60000-70000", "49152-65535"),
    Slip("relay.tcp", "ture", "did you mean true?"),
    Slip("relay.mobility", "1", "did you mean true?"),
    Slip("auth.anonymous", "maybe", "true"),
    Slip("auth.users", "[alice]", "{ alice: "),
    Slip("auth.users", "{ alice: \"\" }", "file:"),
    Slip("auth.secrets", "s3cr3t", "[file:"),
    Slip("auth.secrets", "[[s3cr3t]]", "file:"),
    Slip("auth.store", "sqllite:turnpike.db", "did you mean sqlite:"),
    Slip("auth.nonce-lifetime", "0", "10m"),
    Slip("auth.nonce-lifetime", "25h", "10m"),
    Slip("auth.password-algorithms", "[sha265]", "did you mean sha256?"),
    Slip("auth.password-algorithms", "[md5, md5]", "keep one"),
    Slip("auth.oauth-keys", "[{ id: a }]", "write key: BASE64"),
    Slip("auth.oauth-keys", "[a]", "{ id: k1"),
    Slip("realms", "[other]", "{ example.org:"),
    Slip("redirect.server", "turn.example.org", "192.0.2.20:3478"),
    Slip("redirect.domain", "[a]", "turn.example.org"),
    Slip("peers.allow", "[10.0.0.1/8]", "did you mean 10.0.0.0/8 or 10.0.0.1?"),
    Slip("peers.deny", "[example.org]", "10.0.0.0/8"),
    Slip("lifetime.default", "soon", "10m"),
    Slip("lifetime.default", "600000", "did you mean 600s"),
    Slip("lifetime.maximum", "1.5h", "10m"),
    Slip("lifetime.permission", "~", "leave the key out"),
    Slip("lifetime.channel", "99999999999999999999s", "10m"),
    Slip("limits.allocations", "4294967296", "10000"),
    Slip("limits.allocations-per-user", "1e3", "10"),
    Slip("limits.allocations-per-address", "+1", "10"),
    Slip("limits.permissions-per-allocation", "0x10", "1024"),
    Slip("limits.channels-per-allocation", "1_000", "1024"),
    Slip("limits.bandwidth-per-allocation", "64kb", "64k"),
    Slip("limits.bandwidth-per-user", "64K", "64k"),
    Slip("limits.bandwidth", "99999999999999999999G", "64k"),
    Slip("limits.unauthenticated-per-address", "none", "100"),
    Slip("limits.unauthenticated", "automatic", "20000"),
    Slip("limits.strangers-memory", "32MB", "32M"),
    Slip("limits.strangers-memory", "1000", "32M"),
    Slip("limits.new-peers-per-user", "-1", "6000"),
    Slip("limits.connects-per-user", "1.5", "50"),
    Slip("hardening.capabilities", "drop", "true"),
    Slip("hardening.no-new-privileges", "1", "true"),
    Slip("hardening.seccomp", "off", "false"),
    Slip("hardening.landlock", "ture", "true"),
    Slip("hardening.core-dumps", "0", "false"),
    Slip("nat-discovery.primary", "192.0.2.1", "192.0.2.10:3478"),
    Slip("nat-discovery.primary", "192.0.2.1:3478", "give both"),
    Slip("nat-discovery.alternate", "\"2001:db8::1:3478\"", "did you mean \"[2001:db8::1]:3478\"?"),
    Slip("admin.listen", "8080", "127.0.0.1:8478"),
    Slip("admin.listen", "unix:admin.sock", "127.0.0.1:8478"),
    Slip("admin.listen", "/run/turnpike/admin.sock", "did you mean unix:/run/turnpike/admin.sock?"),
    Slip("admin.listen", "0.0.0.0:8080", "admin.token"),
    Slip("admin.token", "[a]", "file:"), Slip("admin.allow-origins", "['*']", "a list of origins"),
    Slip("admin.allow-origins", "[https://app.example.org/]", "https://app.example.org"),
    Slip("admin.demo", "flase", "did you mean false?"),
    Slip("log.level", "warn", "did you mean warning?"),
    Slip("log.format", "jsn", "did you mean json?"),
    Slip("log.privacy", "truncate", "did you mean truncated?"),
    Slip("auth.on-credential-expiry", "no_refresh", "did you mean no-refresh?"),
    Slip("auth.hook", "app.example.org", "https://app.example.org/turn"),
    Slip("auth.hook", "ftp://app.example.org", "https://app.example.org/turn"),
    Slip("auth.hook-secret", "[a]", "file:"),
    Slip("events.webhook", "https://user:pass@app.example.org/", "https://app.example.org/turn"),
    Slip("events.secret", "[a]", "file:"),
    Slip("events.usage-interval", "1 minute", "write, for example"),
  ]

  @Test("A wrong value of each key gives file, line, key and a suggestion", arguments: slips)
  func wrongValue(slip: Slip) throws {
    let parts = slip.key.split(separator: ".")
    let yaml =
      parts.count == 2
      ? "# a comment\n\(parts[0]):\n  # another\n  \(parts[1]): \(slip.value)\n"
      : "# a comment\n\n\n\(parts[0]): \(slip.value)\n"
    let files = ["/etc/cert.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
    let problems = errors(parse(yaml, files: files))
    #expect(problems.count == 1)
    let problem = try #require(problems.first)
    #expect(problem.origin == .file(path: "t.yml", line: 4))
    #expect(problem.key?.hasPrefix(slip.key) == true)
    #expect(problem.suggestion?.contains(slip.suggestion) == true, "\(problem)")
    #expect(!problem.description.contains("s3cr3t"))
    // The same value in the environment and in an override gives the same error.
    if !"[{~\"".contains(slip.value.first ?? " "), !["listeners", "auth.secrets"].contains(slip.key) {
      let override = errors(parse(set: ["\(slip.key)=\(slip.value)"], files: files))
      #expect(override.first?.origin == .override(slip.key))
    }
  }

  @Test("The table of wrong values has every key")
  func tableIsComplete() {
    let tested = Set(Self.slips.map(\.key))
    #expect(ConfigurationKey.all.map(\.path).filter { !tested.contains($0) } == [])
  }

  @Test(
    "An address that no client can use is refused with its kind",
    arguments: [
      ("relay: { addresses: [224.0.0.1] }", "224.0.0.1 is a multicast address"),
      ("relay: { addresses: [\"ff02::1\"] }", "ff02::1 is a multicast address"),
      ("relay: { addresses: [255.255.255.255] }", "255.255.255.255 is the broadcast address"),
      ("relay: { addresses: [\"fe80::7\"] }", "fe80::7 is a link-local address, which needs a zone"),
      ("relay: { advertise: { 192.0.2.1: 239.1.1.1 } }", "239.1.1.1 is a multicast address"),
      ("relay: { advertise: { \"fe80::7\": \"2001:db8::1\" } }", "fe80::7 is a link-local address"),
      ("listeners: [\"udp://[fe80::7]:3478\"]", "fe80::7 is a link-local address"),
      ("listeners: [udp://224.0.0.1:3478]", "224.0.0.1 is a multicast address"),
      ("nat-discovery: { primary: \"224.0.0.1:3478\" }", "224.0.0.1 is a multicast address"),
      ("redirect: { server: \"[ff02::1]:3478\" }", "ff02::1 is a multicast address"),
      ("redirect: { server: 0.0.0.0 }", "\"0.0.0.0\" is not"),
    ])
  func unusableAddress(yaml: String, message: String) throws {
    let problem = try #require(errors(parse(yaml)).first)
    #expect(problem.message.hasPrefix(message), "\(problem)")
    #expect(problem.suggestion != nil)
  }

  @Test(
    "An IPv6 zone is refused by name in every address",
    arguments: [
      "relay: { addresses: [\"fe80::1%eth0\"] }", "relay: { addresses: [\"[fe80::1%eth0]\"] }",
      "relay: { advertise: { \"fe80::1%eth0\": \"2001:db8::1\" } }",
      "relay: { advertise: { \"2001:db8::1\": \"fe80::1%eth0\" } }",
      "listeners: [\"udp://[fe80::1%eth0]:3478\"]", "nat-discovery: { primary: \"[fe80::1%eth0]:3478\" }",
      "admin: { listen: \"[fe80::1%eth0]:8478\" }", "redirect: { server: \"fe80::1%eth0\" }",
      "peers: { allow: [\"fe80::1%eth0\"] }",
      "peers: { deny: [\"fe80::%eth0/10\"] }",
    ])
  func zones(yaml: String) throws {
    let problem = try #require(errors(parse(yaml)).first)
    #expect(problem.message == "zones (\"%eth0\") are not supported", "\(problem)")
    #expect(errors(parse("auth: { users: { \"fe80::1%eth0\": \"fe80::1%eth0\" } }")).isEmpty)
  }

  @Test(
    "An unknown key is refused with the nearest known key",
    arguments: [
      ("reaml: a", 1, "reaml", "did you mean realm?"),
      ("auth:\n  secret: [a]", 2, "auth.secret", "did you mean auth.secrets?"),
      ("nonce-lifetime: 10m", 1, "nonce-lifetime", "did you mean auth.nonce-lifetime?"),
      ("auth.secrets: [a]", 1, "auth.secrets", "write secrets below auth"),
      ("Limits:\n  allocations: 1", 1, "Limits", "did you mean limits?"),
      ("limits:\n  xyzzy-plugh: 1", 2, "limits.xyzzy-plugh", "the keys here are allocations, "),
      ("realms:\n  other:\n    user: { a: b }", 3, "realms.other.user", "did you mean users?"),
      ("auth: { oauth-keys: [{ kid: a }] }", 1, "auth.oauth-keys.kid", "did you mean id?"),
      ("auth: [a]", 1, "auth", "the keys below it are anonymous, users"),
    ])
  func unknownKey(yaml: String, line: Int, key: String, suggestion: String) throws {
    let problem = try #require(errors(parse(yaml)).first)
    #expect(problem.origin == .file(path: "t.yml", line: line))
    #expect(problem.key == key)
    #expect(problem.suggestion?.hasPrefix(suggestion) == true, "\(problem)")
  }

  @Test("An unknown key is an error in --set and one warning in the environment")
  func unknownElsewhere() {
    #expect(errors(parse(set: ["auth.secret=a"])).first?.suggestion == "did you mean auth.secrets?")
    #expect(errors(parse(set: ["auth=a"])).first?.suggestion?.hasPrefix("write one of auth.anonymous") == true)
    #expect(errors(parse(set: ["realm"])).first?.message == "has no value")
    let parsed = parse(environment: ["TURNPIKE_PORT": "tcp://10.0.0.1:3478", "TURNPIKE_RAELM": "a", "OTHER": "x"])
    #expect(errors(parsed) == [])
    #expect(parsed.problems.map(\.origin) == [.environment("TURNPIKE_PORT"), .environment("TURNPIKE_RAELM")])
    #expect(parsed.problems.last?.suggestion == "did you mean TURNPIKE_REALM?")
  }

  @Test("Every mistake is reported, not only the first")
  func allOfThem() {
    let yaml = "relam: a\nworkers: x\nlisteners: [udp://a, tcp://b]\nlimits: { allocations: -1, nonsense: 2 }\n"
    let problems = errors(parse(yaml, environment: ["TURNPIKE_ENGINE": "kqueue"], set: ["log.level=loud"]))
    #expect(
      problems.map(\.key) == [
        "relam", "workers", "listeners", "listeners", "limits.allocations", "limits.nonsense", "engine", "log.level",
      ])
  }

  @Test(
    "YAML features that a configuration does not need are refused by name",
    arguments: [
      ("a: &x [1]\nb: *x", "aliases", 2),
      ("realm: !!str a", "tags", 1),
      ("realm: a\n---\nrealm: b", "second document", 2),
      ("realm: a\nworkers: 1\nrealm: b", "given twice", 3),
      ("auth: { users: { a: b, a: c } }", "given twice", 1),
      ("? [a]\n: b", "plain text", 1),
      ("realm: [", "not YAML", 2),
      ("realm:\n\t- a", "not YAML", 2),
      ("just text", "no map", 1),
      ("- a\n- b", "no map", 1),
      ("realm: \"\\", "not YAML", 1),
      (String(repeating: "[", count: 100_000), "levels", 1),
      ("a: [" + String(repeating: "1,", count: 60_000) + "1]", "values", 1),
      (String(repeating: "#", count: (1 << 20) + 1), "more than 1 MiB", 1),
    ])
  func hostileYAML(yaml: String, message: String, line: Int) throws {
    let problem = try #require(errors(parse(yaml)).first)
    #expect(problem.message.contains(message), "\(problem)")
    if case .file(let path, let found) = problem.origin {
      #expect(path == "t.yml")
      #expect(found == line)
    } else {
      Issue.record("no line: \(problem)")
    }
  }

  @Test("An unreadable file or a dangling reference is an error that names it")
  func unreadable() {
    #expect(throws: ConfigurationError.self) { try reader().read(file: "absent.yml") }
    let problems = errors(parse("realm: file:/absent\nsoftware: env:ABSENT"))
    #expect(problems.map(\.key) == ["realm", "software"])
    #expect(problems.allSatisfy { $0.suggestion != nil })
    let big = ["/big": String(repeating: "x", count: 70_000)]
    #expect(errors(parse("realm: file:/big", files: big)).first?.message.contains("64 KiB") == true)
  }

  @Test("Text from a file cannot forge a log line")
  func controlCharacters() throws {
    let problem = try #require(errors(parse("realm: \"a\\nERROR forged\\e[31m\"")).first)
    #expect(!problem.description.unicodeScalars.contains { $0.value < 0x20 })
    let unknown = try #require(errors(parse("\"re\\nalm\": a")).first)
    #expect(!unknown.description.contains("\n"))
  }

  @Test("A configuration without users is refused")
  func noUsers() {
    #expect(errors(parse("auth: { store: \"\" }")).map(\.key) == ["auth.store"])
    #expect(errors(parse("auth: { store: \"\", anonymous: true }")) == [])
    #expect(errors(parse("auth: { store: \"\", secrets: [a] }")) == [])
  }
}
