import Foundation
import TestSupport
import Testing

@testable internal import Configuration

/// Every key has a test of its behaviour: what the running program, or the part of it that the key is for, does with
/// the value. This table names the test of each key.
@Suite("Tests of each key's behaviour")
struct BehaviourTests {
  /// A test function, in a file of `Tests`.
  struct Proof: Sendable, CustomTestStringConvertible {
    var key: String
    var file: String
    var function: String
    /// The text of the key in the file, if it is not its name.
    var word: String?
    var testDescription: String { key }

    init(_ key: String, _ file: String, _ function: String, _ word: String? = nil) {
      self.key = key
      self.file = file
      self.function = function
      self.word = word
    }
  }

  private static func keys(_ key: String, _ function: String, _ word: String? = nil) -> Proof {
    Proof(key, "ServerTests/KeyBehaviourTests.swift", function, word)
  }

  private static func limit(_ key: String, _ function: String, _ word: String? = nil) -> Proof {
    Proof(key, "ServerTests/KeyBehaviourTests+Limits.swift", function, word)
  }

  private static func start(_ key: String, _ function: String, _ word: String? = nil) -> Proof {
    Proof(key, "ServerTests/KeyBehaviourTests+Start.swift", function, word)
  }

  private static func server(_ key: String, _ file: String, _ function: String, _ word: String? = nil) -> Proof {
    Proof(key, "ServerTests/\(file).swift", function, word)
  }

  static let general: [Proof] = [
    keys("realm", "realm"), keys("software", "software"), keys("rfc3489", "classic"),
    keys("rfc5766-channels", "oldChannels"), keys("public-name", "publicName"), keys("workers", "workers"),
    server("engine", "EngineTests", "refused"),
    start("drain-timeout", "drainTimeout", "drainTimeout: \"2s\""), start("state-directory", "stateDirectory"),
    server("listeners", "ServerTests", "insisting"),
    server("proxy-protocol.trusted", "ProxyProtocolServerTests", "untrusted", "proxy-protocol: { trusted"),
    server("tls.certificate", "AdminDoorTests", "secure"), server("tls.private-key", "AdminDoorTests", "secure"),
    server("tls.minimum-version", "CertificateServerTests", "minimumVersion"),
    server("tls.client-ca", "CertificateServerTests", "clientAuthority"),
    server("tls.certificates", "CertificateServerTests", "serverName", "certificates: ["),
    start("relay.addresses", "relayAddresses"),
    keys("relay.advertise", "advertise"), keys("relay.ports", "relayPorts"),
    server("relay.detect", "ServerTests+Signals", "stopDuringStart"),
    Proof("relay.detect-interval", "Interop/public_address.py", "change"),
    server("relay.tcp", "TCPRelayServerTests", "off"),
    server("relay.mobility", "TCPRelayServerTests+Mobility", "mobility"),
  ]

  static let credentials: [Proof] = [
    start("auth.anonymous", "anonymous"),
    server("auth.users", "ServerTests+Signals", "reload", "users"),
    keys("auth.secrets", "credentialExpiry"), start("auth.store", "store"),
    keys("auth.nonce-lifetime", "nonceLifetime"), keys("auth.on-credential-expiry", "credentialExpiry"),
    server("auth.hook", "WebhookServerTests", "hook"), keys("auth.hook-secret", "signature"),
    keys("auth.password-algorithms", "passwordAlgorithms"),
    server("auth.oauth-keys", "AccessTokenProbeTests", "probe", "oauth-keys: ["),
    server("realms", "RealmTests", "realmsOfTheirOwn", "realms:"), keys("redirect.server", "redirect"),
    keys("redirect.domain", "redirect"),
  ]

  static let peers: [Proof] = [
    server("peers.allow", "LogEventTests", "privacy"), keys("peers.deny", "denied"),
    keys("lifetime.default", "lifetimes"), keys("lifetime.maximum", "lifetimes"),
    keys("lifetime.permission", "ends", "\"permission\""), keys("lifetime.channel", "ends", "\"channel\""),
  ]

  static let limits: [Proof] = [
    server("limits.allocations", "ServerTests", "limits"),
    server("limits.allocations-per-user", "ServerTests", "limits"),
    server("limits.allocations-per-address", "ServerTests", "limits"),
    limit("limits.permissions-per-allocation", "peers", "\"permissions-per-allocation\""),
    limit("limits.new-peers-per-user", "peers", "\"new-peers-per-user\""),
    server("limits.channels-per-allocation", "LogEventTests", "fullTables"),
    limit("limits.bandwidth-per-allocation", "bandwidth", "\"bandwidth-per-allocation\""),
    limit("limits.bandwidth-per-user", "bandwidth", "\"bandwidth-per-user\""),
    limit("limits.bandwidth", "bandwidth", "\"bandwidth\""),
    limit("limits.connects-per-user", "connects"),
    server("limits.unauthenticated-per-address", "ServerTests", "strangersBudget"),
    limit("limits.unauthenticated", "unauthenticated"),
    server("limits.strangers-memory", "HostileConnectionTests", "strangersMemory"),
  ]

  static let services: [Proof] = [
    server("nat-discovery.primary", "DiscoveryServerTests", "fourSockets"),
    server("nat-discovery.alternate", "DiscoveryServerTests", "fourSockets"),
    server("admin.listen", "AdminDoorTests", "unixSocket"), server("admin.token", "AdminDoorTests", "token"),
    server("admin.allow-origins", "AdminDoorTests", "origins", "allow-origins"),
    server("admin.demo", "DemoServerTests", "page", "admin.demo=true"),
    server("hardening.capabilities", "HardeningServerTests", "nothing"),
    server("hardening.no-new-privileges", "HardeningServerTests", "nothing"),
    server("hardening.seccomp", "HardeningServerTests", "nothing"),
    server("hardening.landlock", "HardeningServerTests", "reload"),
    server("hardening.core-dumps", "HardeningServerTests", "nothing"),
    start("log.level", "logLevel"), server("log.format", "LogEventTests", "jsonLines"),
    server("log.privacy", "LogEventTests", "privacy"), server("events.webhook", "WebhookServerTests", "events"),
    keys("events.secret", "signature"),
    server("events.usage-interval", "WebhookServerTests", "events"),
  ]

  static let all = general + credentials + peers + limits + services

  @Test("The named test exists, in a file that has the key", arguments: all)
  func exists(proof: Proof) throws {
    let text = try Paths.text("Tests/" + proof.file)
    let isSwift = proof.file.hasSuffix(".swift")
    let parts = text.components(separatedBy: "  \(isSwift ? "func" : "def") \(proof.function)(").dropLast()
    // A helper may have the name of a test.
    let isTest = parts.contains { !isSwift || $0.components(separatedBy: "\n\n").last?.contains("@Test(") == true }
    #expect(isTest, "no test \(proof.function) in Tests/\(proof.file)")
    #expect(text.contains(proof.word ?? proof.key), "no \(proof.word ?? proof.key) in Tests/\(proof.file)")
  }

  @Test("Every key of the schema has one test, and no other key has")
  func complete() {
    let fields = Schema<Settings>.settings.fields.map(\.path)
    let proven = Self.all.map(\.key)
    #expect(Set(fields).subtracting(proven) == [], "keys without a test of their behaviour")
    #expect(Set(proven).subtracting(fields) == [], "no such keys")
    #expect(Set(proven).count == proven.count)
  }
}
