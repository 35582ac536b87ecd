@testable internal import Configuration
internal import Log
internal import NetworkTypes
internal import STUN
internal import TLS
internal import TURN
internal import Testing

@Suite("Reading a configuration")
struct ReadingTests {
  @Test("Without any source the built-in defaults apply")
  func defaults() throws {
    let configuration = try reader().read(file: nil)
    #expect(configuration.settings == Settings())
    #expect(configuration.warnings.isEmpty)
  }

  @Test(
    "An empty file, comments alone and empty sections give the defaults",
    arguments: [
      "", "# nothing\n", "---\n", "auth:\nlimits:\n", "{}",
    ])
  func emptyFiles(yaml: String) throws {
    #expect(try reader(yaml).read(file: "t.yml").settings == Settings())
  }

  @Test("Every documented key sets its field")
  func everyKey() {
    let parsed = parse(fullDocument)
    #expect(errors(parsed) == [])
    var expected = Settings()
    expected.realm = "example.org"
    expected.turn.software = "Turnpike test"
    expected.turn.answersClassicSTUN = true
    expected.turn.allowsOldChannels = false
    expected.publicName = "turn.example.org"
    expected.workers = 3
    expected.engine = .ioUring
    expected.drainTimeout = .seconds(0)
    expected.stateDirectory = "/tmp/turnpike"
    var udp = Settings.Listener(transport: .udp, address: SocketAddress(IPAddress(127, 0, 0, 1), port: 3478))
    udp.realm = "other.example"
    var tls = Settings.Listener(transport: .tls, address: SocketAddress(.ipv6Loopback, port: 443))
    tls.proxyProtocol = true
    tls.auto = false
    expected.listeners = [udp, tls]
    expected.proxyProtocol.trusted = [CIDRBlock(IPAddress(10, 0, 0, 5), prefixLength: 32)]
    expected.tls.certificate = "/c.pem"
    expected.tls.privateKey = "/k.pem"
    expected.tls.minimumVersion = .tls13
    expected.tls.clientCA = "/ca.pem"
    expected.tls.certificates = [Settings.CertificatePair(certificate: "/o.pem", privateKey: "/o.key")]
    expected.relay.addresses = [IPAddress(192, 0, 2, 10), IPAddress(ipv6High: 0x2001_0DB8_0000_0000, low: 0x10)]
    expected.relay.advertise = .automatic
    expected.relay.detect = [.interface, .cloud, .stun(host: "stun.example.org", port: 3479)]
    expected.relay.detectInterval = .seconds(60)
    expected.relay.ports = 20000...20999
    (expected.turn.relaysTCP, expected.turn.allowsMobility) = (false, true)
    expected.turn.isAnonymous = true
    expected.auth.users = ["alice": "secret", "bob": "x:y=z"]
    expected.auth.secrets = ["one", "two"]
    expected.auth.store = "redis://store.example"
    expected.turn.nonceLifetime = .seconds(90)
    expected.turn.passwordAlgorithms = [.sha256]
    expected.auth.oauthKeys = [
      .init(
        id: "k1", key: Array(repeating: 0, count: 32), algorithm: .a256gcm, notAfter: UnixTime(seconds: 1_893_456_000)),
      .init(id: "k2", key: Array(repeating: 0, count: 16), algorithm: .a128gcm, notAfter: nil),
    ]
    var realm = Settings.RealmSection()
    realm.users = ["carol": "pw"]
    realm.secrets = ["three"]
    realm.store = "sqlite:other.db"
    realm.limits.allocationsPerUser = 7
    realm.serverNames = ["turn.other.example"]
    expected.realms = ["other.example": realm]
    expected.turn.redirect.server = AlternateServer(IPAddress(192, 0, 2, 20), port: 3478)
    expected.turn.redirect.domain = "turn.example.org"
    expected.peers.allow = [CIDRBlock(IPAddress(10, 0, 0, 0), prefixLength: 8)]
    expected.peers.deny = [CIDRBlock(IPAddress(192, 0, 2, 1), prefixLength: 32)]
    expected.turn.defaultLifetime = .seconds(120)
    expected.turn.maximumLifetime = .seconds(7200)
    expected.turn.permissionLifetime = .seconds(60)
    expected.turn.channelLifetime = .seconds(61)
    expected.limits.allocations = 1
    expected.limits.allocationsPerUser = 2
    expected.limits.allocationsPerAddress = 3
    expected.limits.ofRealm.permissionsPerAllocation = 4
    expected.limits.ofRealm.channelsPerAllocation = 5
    expected.limits.ofRealm.bandwidthPerAllocation = .bytesPerSecond(64_000)
    expected.limits.ofRealm.bandwidthPerUser = .bytesPerSecond(2_000_000)
    expected.limits.ofRealm.bandwidth = .bytesPerSecond(1_000_000_000)
    expected.limits.ofRealm.newPeersPerUser = 8
    expected.limits.ofRealm.connectsPerUser = 9
    expected.limits.unauthenticatedPerAddress = 6
    expected.limits.unauthenticated = 10
    expected.limits.strangersMemory = .bytes(64_000_000)
    expected.hardening.capabilities = false
    expected.hardening.noNewPrivileges = false
    expected.hardening.seccomp = false
    expected.hardening.landlock = false
    expected.hardening.coreDumps = true
    expected.turn.natDiscovery.primary = SocketAddress(IPAddress(192, 0, 2, 1), port: 3478)
    expected.turn.natDiscovery.alternate = SocketAddress(IPAddress(192, 0, 2, 2), port: 3479)
    expected.admin.listen = .address(SocketAddress(.ipv4Any, port: 8080))
    expected.admin.token = "t0ken"
    expected.admin.allowOrigins = ["https://app.example.org"]
    expected.admin.demo = true
    expected.log.level = .debug
    expected.log.format = .json
    expected.log.privacy = .full
    expected.turn.onCredentialExpiry = .noRefresh
    expected.auth.hook = "https://app.example.org/user"
    expected.auth.hookSecret = "t0ken-of-hook"
    expected.events.webhook = "https://app.example.org/events"
    expected.events.secret = "t0ken-of-events"
    expected.events.usageInterval = .seconds(5)
    #expect(parsed.settings == expected)
    // A new key of the table must be added to this document too.
    let differing = ConfigurationKey.all.map(\.path).filter { parsed.origins[$0] == nil }
    #expect(differing.isEmpty)
  }

  @Test("--set wins over the environment, the environment over the file, the file over the default")
  func precedence() throws {
    let yaml = "realm: file\nworkers: 1\nsoftware: file\n"
    let environment = ["TURNPIKE_REALM": "environment", "TURNPIKE_WORKERS": "2"]
    let settings = try reader(yaml, environment: environment)
      .read(file: "t.yml", overrides: ["realm=override", "realm=last"]).settings
    #expect(settings.realm == "last")
    #expect(settings.workers == 2)
    #expect(settings.turn.software == "file")
  }

  @Test("Commas separate lists and maps in the environment and in --set")
  func inlineCollections() {
    let parsed = parse(
      environment: [
        "TURNPIKE_AUTH_SECRETS": "a, b", "TURNPIKE_AUTH_USERS": "alice=secret,bob=x=y",
        "TURNPIKE_LISTENERS": "udp://0.0.0.0:3478,udp://[::]:3478", "TURNPIKE_PEERS_DENY": "",
      ], set: ["peers.allow=10.0.0.0/8,192.0.2.1", "relay.advertise=192.0.2.1=203.0.113.1"])
    #expect(errors(parsed) == [])
    #expect(parsed.settings.auth.secrets == ["a", "b"])
    #expect(parsed.settings.auth.users == ["alice": "secret", "bob": "x=y"])
    #expect(parsed.settings.listeners?.count == 2)
    #expect(parsed.settings.peers.allow.count == 2)
    #expect(parsed.settings.peers.deny.isEmpty)
    #expect(
      parsed.settings.relay.advertise == .mapping([IPAddress(192, 0, 2, 1): .address(IPAddress(203, 0, 113, 1))]))
  }

  @Test("--set takes records as YAML")
  func inlineRecords() {
    let key = String(repeating: "A", count: 22) + "=="
    let parsed = parse(set: [
      "auth.oauth-keys=[{id: k, key: \(key), algorithm: A128GCM}]", "realms={other: {secrets: [s]}}",
    ])
    #expect(errors(parsed) == [])
    #expect(parsed.settings.auth.oauthKeys.map(\.id) == ["k"])
    #expect(parsed.settings.realms["other"]?.secrets == ["s"])
  }

  @Test("file: and env: insert the content, without one final newline")
  func references() throws {
    let yaml = """
      realm: env:THE_REALM
      workers: file:/run/workers
      auth:
        users: { alice: "file:/run/alice" }
        secrets: ["file:/run/two-lines", env:SECRET]
      """
    let settings = try reader(
      yaml, environment: ["THE_REALM": "r", "SECRET": "file:not-again"],
      files: ["/run/workers": "4\n", "/run/alice": "pw\r\n", "/run/two-lines": "a\n\n"]
    ).read(file: "t.yml").settings
    #expect(settings.realm == "r")
    #expect(settings.workers == 4)
    #expect(settings.auth.users == ["alice": "pw"])
    #expect(settings.auth.secrets == ["a\n", "file:not-again"])
  }

  @Test(
    "Durations and rates are read with their units",
    arguments: [
      ("90", 90), ("90s", 90), ("10m", 600), ("1h", 3600), ("24h", 86400),
    ])
  func durations(text: String, seconds: UInt32) {
    #expect(parse("auth: { nonce-lifetime: \(text) }").settings.turn.nonceLifetime == .seconds(seconds))
  }

  @Test("The effective configuration is a valid configuration without secrets")
  func effective() throws {
    let parsed = parse(fullDocument)
    let yaml = parsed.settings.effectiveYAML()
    for secret in ["secret\n", "x:y", "\"one\"", "two", "t0ken", "AAAA", "three"] { #expect(!yaml.contains(secret)) }
    #expect(yaml.contains("alice: \"<redacted>\""))
    #expect(errors(parse(yaml)).count > 5)
    // Without the refused values a listener has no realm and the admin endpoint has no token. These are errors too.
    let others = errors(parse(yaml)).filter {
      !$0.message.contains("in place of a secret") && $0.key != "listeners" && $0.key != "admin.listen"
    }
    #expect(others == [])
    let again = parse(parsed.settings.effectiveYAML(showsSecrets: true))
    #expect(errors(again) == [])
    #expect(again.settings == parsed.settings)
    // The defaults need no redaction, so they are read back completely, with the listeners that this version opens.
    let defaults = try reader(Settings().effectiveYAML()).read(file: "t.yml").settings
    #expect(defaults.listeners == Settings.availableDefaultListeners)
    #expect(defaults.listeners?.isEmpty == false)
    var plain = defaults
    plain.listeners = nil
    #expect(plain == Settings())
  }

  @Test("A store's password is not printed")
  func storeURL() {
    let yaml = parse("auth: { store: \"redis://me:pass@w0rd@host:6379/0\" }").settings.effectiveYAML()
    #expect(yaml.contains("redis://<redacted>@host:6379/0"))
    #expect(!yaml.contains("w0rd"))
  }

  @Test("Each key has its own environment variable")
  func environmentNames() {
    let keys = ConfigurationKey.all
    #expect(Set(keys.map(\.environmentName)).count == keys.count)
    #expect(Set(keys.map(\.path)).count == keys.count)
    #expect(keys.contains { $0.environmentName == "TURNPIKE_AUTH_NONCE_LIFETIME" })
    #expect(keys.allSatisfy { !$0.summary.isEmpty && !$0.expectation.isEmpty })
  }
}

let fullDocument = """
  realm: example.org
  software: "Turnpike test"
  rfc3489: true
  rfc5766-channels: false
  public-name: turn.example.org
  workers: 3
  engine: io-uring
  drain-timeout: 0s
  state-directory: /tmp/turnpike
  listeners:
    - udp://127.0.0.1:3478?realm=other.example
    - "tls://[::1]:443?proxy-protocol=v2&auto=false"
  proxy-protocol: { trusted: [ 10.0.0.5 ] }
  tls: { certificate: /c.pem, private-key: /k.pem, minimum-version: "1.3", client-ca: /ca.pem,
         certificates: [ { certificate: /o.pem, private-key: /o.key } ] }
  relay:
    addresses: [192.0.2.10, "2001:db8::10"]
    advertise: auto
    detect: [interface, cloud, "stun:stun.example.org:3479"]
    detect-interval: 1m
    ports: 20000-20999
    tcp: false
    mobility: true
  auth:
    anonymous: true
    users: { alice: secret, bob: "x:y=z" }
    secrets: [one, two]
    store: redis://store.example
    nonce-lifetime: 90s
    on-credential-expiry: no-refresh
    hook: "https://app.example.org/user"
    hook-secret: t0ken-of-hook
    password-algorithms: [sha256]
    oauth-keys:
      - { id: k1, key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=, algorithm: A256GCM, not-after: "2030-01-01T00:00:00Z" }
      - { id: k2, key: AAAAAAAAAAAAAAAAAAAAAA==, algorithm: A128GCM }
  realms:
    other.example:
      users: { carol: pw }
      secrets: [three]
      store: sqlite:other.db
      limits: { allocations-per-user: 7 }
      server-names: [turn.other.example]
  redirect: { server: "192.0.2.20:3478", domain: turn.example.org }
  peers:
    allow: [10.0.0.0/8]
    deny: [192.0.2.1]
  lifetime: { default: 2m, maximum: 2h, permission: 60, channel: 61s }
  limits:
    allocations: 1
    allocations-per-user: 2
    allocations-per-address: 3
    permissions-per-allocation: 4
    channels-per-allocation: 5
    bandwidth-per-allocation: 64k
    bandwidth-per-user: 2M
    bandwidth: 1G
    new-peers-per-user: 8
    connects-per-user: 9
    unauthenticated-per-address: 6
    unauthenticated: 10
    strangers-memory: 64M
  hardening: { capabilities: false, no-new-privileges: false, seccomp: false, landlock: false, core-dumps: true }
  nat-discovery: { primary: "192.0.2.1:3478", alternate: "192.0.2.2:3479" }
  admin: { listen: "0.0.0.0:8080", token: t0ken, allow-origins: [ "https://app.example.org" ], demo: true }
  log: { level: debug, format: json, privacy: full }
  events: { webhook: "https://app.example.org/events", secret: t0ken-of-events, usage-interval: 5s }
  """
