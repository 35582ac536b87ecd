import Foundation
import NetworkTypes
import Testing

@testable import Configuration
import TURN

@Suite("Translating coturn's turnserver.conf")
struct CoturnTests {
  func translate(_ text: String, host: String? = "10.1.2.3") -> CoturnTranslation {
    CoturnTranslation(Array(text.utf8)) { family in
      host.flatMap { IPAddress($0) }.flatMap { $0.family == family ? $0 : nil }
    }
  }

  /// The settings with which the server would run, and the problems that it would report.
  func read(_ text: String) throws(ConfigurationError) -> Configuration {
    let reader = ConfigurationReader(environment: [:]) { _ in Array(text.utf8) }
    return try reader.read(coturn: "turnserver.conf", hostAddress: { $0 == .ipv4 ? IPAddress(10, 1, 2, 3) : nil })
  }

  // MARK: - Lines

  @Test(
    "A line is an option with or without a value, as coturn reads it",
    arguments: [
      ("realm=example.org", "realm", "example.org"), ("  realm  =  example.org  ", "realm", "example.org"),
      ("realm example.org", "realm", "example.org"), ("realm\t\"example.org\"", "realm", "example.org"),
      ("user=alice:a=b:c", "user", "alice:a=b:c"), ("fingerprint\r", "fingerprint", ""), ("realm=\"", "realm", ""),
      ("user=alice:pass # word", "user", "alice:pass # word"),
    ])
  func line(text: String, option: String, value: String) {
    let file = CoturnFile(Array("# a comment\n\n\(text)\n".utf8))
    #expect(file.lines == [CoturnFile.Line(number: 3, option: option, value: value)])
  }

  @Test("An option is switched on by no value, yes, true, on and numbers above zero")
  func switches() {
    let on = ["", "yes", "Y", "true", "1", "9", "on", "ON"]
    let off = ["0", "no", "N", "false", "F", "off", "OFF"]
    for value in on { #expect(CoturnFile.Line(number: 1, option: "x", value: value).isOn, "\(value)") }
    for value in off { #expect(!CoturnFile.Line(number: 1, option: "x", value: value).isOn, "\(value)") }
  }

  @Test("The table has every option of coturn 4.17 once")
  func table() {
    let names = CoturnOption.all.map(\.name)
    #expect(Set(names).count == names.count)
    let options = Set(names)
    // The options of `turnserver --help` in 4.17.1 that a file may have.
    let known = CoturnTests.optionsOf417.split(whereSeparator: \.isWhitespace).map(String.init)
    #expect(known.count == 142)
    #expect(known.filter { !options.contains($0) } == [])
  }

  @Test("docs/coturn.md has exactly one row for each option")
  func document() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let text = try String(contentsOf: root.appending(path: "docs/coturn.md"), encoding: .utf8)
    let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `") }.map(String.init)
    let expected = CoturnOption.all.map { option in
      let fate =
        switch option.fate {
        case .translated(let keys): "`\(keys)`"
        case .unneeded(let because): "not needed: \(because)"
        case .unsupported(let because): "not supported: \(because)"
        }
      return "| `\(option.name)` | \(fate) |"
    }
    #expect(rows == expected)
  }

  // MARK: - Whole files

  @Test("The example in Matrix Synapse's documentation is translated")
  func synapse() throws {
    let configuration = try read(
      """
      use-auth-secret
      static-auth-secret=n0t4s3cret
      realm=turn.myserver.org
      no-tcp-relay
      denied-peer-ip=0.0.0.0-0.255.255.255
      denied-peer-ip=10.0.0.0-10.255.255.255
      denied-peer-ip=192.88.99.0-192.88.99.255
      no-multicast-peers
      allowed-peer-ip=10.0.0.1
      user-quota=12 # 4 streams per video call
      total-quota=1200
      external-ip=203.0.113.7
      cert=/etc/fullchain.pem
      pkey=/etc/privkey.pem
      no-tls
      no-dtls
      """)
    let settings = configuration.settings
    #expect(settings.auth.secrets == ["n0t4s3cret"])
    #expect(settings.realm == "turn.myserver.org" && !settings.turn.relaysTCP)
    #expect(settings.peers.deny.map(\.description) == ["0.0.0.0/8", "10.0.0.0/8", "192.88.99.0/24"])
    #expect(settings.peers.allow.map(\.description) == ["10.0.0.1/32"])
    #expect(settings.limits.allocationsPerUser == 12 && settings.limits.allocations == 1200)
    #expect(
      settings.effectiveListeners.map { "\($0.transport) \($0.address)" } == [
        "udp 0.0.0.0:3478", "tcp 0.0.0.0:3478", "udp [::]:3478", "tcp [::]:3478",
      ])
    #expect(settings.relay.advertise == .everywhere(.address(IPAddress("203.0.113.7")!)))
    #expect(configuration.warnings == [])
  }

  @Test("The example in Nextcloud Talk's documentation is translated")
  func nextcloud() throws {
    let configuration = try read(
      """
      listening-port=443
      fingerprint
      lt-cred-mech # Only on coTURN below v4.5.0.8!
      use-auth-secret
      static-auth-secret=abc
      realm=your.domain.tld
      total-quota=0
      bps-capacity=0
      stale-nonce
      no-loopback-peers # Only on coTURN below v4.5.1.0!
      no-multicast-peers
      """)
    let settings = configuration.settings
    #expect(settings.effectiveListeners.map(\.address.port) == [443, 443, 443, 443])
    #expect(settings.limits.allocations == 0 && settings.limits.ofRealm.bandwidth == .unlimited)
    #expect(settings.effectiveYAML().contains("nonce-lifetime: 10m"))
    #expect(configuration.warnings.map(\.description) == [Self.privateNetworks])
  }

  @Test("The example in BigBlueButton's documentation is translated, with TLS")
  func bigBlueButton() throws {
    let configuration = try read(
      """
      listening-port=3478
      tls-listening-port=443
      listening-ip=198.51.100.4
      relay-ip=198.51.100.4
      min-port=32769
      max-port=65535
      verbose
      fingerprint
      lt-cred-mech
      use-auth-secret
      static-auth-secret=s3cr3t
      realm=example.com
      cert=/etc/turnserver/fullchain.pem
      pkey=/etc/turnserver/privkey.pem
      cipher-list="ECDHE-RSA-AES256-GCM-SHA384"
      dh-file=/etc/turnserver/dhp.pem
      no-tlsv1
      no-tlsv1_1
      keep-address-family
      no-cli
      no-rfc5780
      no-stun-backward-compatibility
      response-origin-only-with-rfc5780
      syslog
      """)
    let settings = configuration.settings
    #expect(
      settings.effectiveListeners.map { "\($0.transport) \($0.address)" } == [
        "udp 198.51.100.4:3478", "tcp 198.51.100.4:3478", "tls 198.51.100.4:443",
      ])
    #expect(settings.relay.ports == 32769...65535)
    #expect(settings.tls.certificate == "/etc/turnserver/fullchain.pem")
    #expect(
      configuration.warnings.map(\.description) == [
        "turnserver.conf:19: keep-address-family: without REQUESTED-ADDRESS-FAMILY an allocation is IPv4 (RFC 8656)",
        Self.privateNetworks, "turnserver.conf:5: relay.ports: RFC 8656 section 7.2 recommends 49152-65535",
      ])
  }

  @Test("The YAML that import prints is read as the same settings")
  func roundTrip() throws {
    let text = """
      listening-ip=192.0.2.1
      listening-ip=2001:db8::1
      aux-server=192.0.2.1:3480
      external-ip=203.0.113.7/192.0.2.1
      relay-ip=192.0.2.1
      user=alice:it's "quoted": yes
      user=bob:on
      realm=example.org
      allowed-peer-ip=2001:db8::-2001:db8::ff
      stale-nonce=300
      rfc5780
      listening-ip=192.0.2.2
      software-attribute
      Verbose
      """
    let direct = try read(text).settings
    let yaml = translate(text).yaml
    let printed = try reader(yaml).read(file: "t.yml").settings
    #expect(printed.effectiveYAML() == direct.effectiveYAML())
    #expect(printed.auth.users == direct.auth.users && direct.auth.users.count == 2)
    #expect(direct.peers.allow.map(\.description) == ["2001:db8::/120"])
    #expect(yaml.contains("primary: \"192.0.2.1:3478\"") || yaml.contains("primary: 192.0.2.1:3478"))
    #expect(yaml.contains("192.0.2.2:3479"))
  }

  // MARK: - Options without an equivalent

  @Test(
    "An option that changes the behaviour and has no equivalent causes a warning with its line",
    arguments: [
      ("cli-port=5766", "there is no telnet interface"), ("tls-listening-prot=1", "coturn has no such option"),
      ("user=alice:0xbc807ee29df3c9ffa736523fb2c4e8ee", "has a key, not a password"),
      ("user=alice", "the value is not NAME:PASSWORD"), ("external-ip=nat.example.org", "is no address"),
      ("denied-peer-ip=10.0.0.9-10.0.0.1", "is no range"), ("listening-ip=eth0", "is no address"),
      ("static-auth-secret=env:HOME", "cannot be written"), ("rfc5780", "needs two listening-ip lines"),
      ("listening-port=70000", "is no port"),
    ])
  func difference(line: String, text: String) {
    let remarks = translate("# first\n\(line)\n").remarks.filter { $0.isDifference && $0.line != nil }
    #expect(remarks.count == 1 && remarks.first?.line == 2, "\(remarks)")
    #expect(remarks.first?.text.contains(text) == true, "\(remarks)")
    #expect(remarks.allSatisfy { !$0.text.contains("bc807") })
  }

  @Test("An unsupported option that is switched off causes no warning, and an unneeded one causes a note")
  func notes() {
    let remarks = translate("stun-only=0\nfingerprint\ndenied-peer-ip=10.0.0.0/8\n").remarks
    #expect(remarks.map(\.option) == ["fingerprint"])
    #expect(remarks.allSatisfy { !$0.isDifference })
  }

  @Test("The error about a refused value names the line of coturn's file")
  func wrongValue() {
    #expect(throws: ConfigurationError.self) { try read("realm=example.org\nmax-allocate-lifetime=forever\n") }
    do {
      _ = try read("realm=example.org\nmax-allocate-lifetime=forever\n")
    } catch {
      #expect(error.problems.contains { $0.description.hasPrefix("turnserver.conf:2: lifetime.maximum:") }, "\(error)")
    }
  }

  @Test(
    "A range becomes the smallest number of blocks",
    arguments: [
      ("10.0.0.0-10.255.255.255", ["10.0.0.0/8"]),
      ("10.0.0.1-10.0.0.4", ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"]),
      ("0.0.0.0-255.255.255.255", ["0.0.0.0/0"]), ("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ["::/0"]),
      ("255.255.255.254-255.255.255.255", ["255.255.255.254/31"]), ("192.0.2.77/24", ["192.0.2.0/24"]),
      ("2001:db8::5", ["2001:db8::5/128"]),
    ])
  func ranges(text: String, blocks: [String]) {
    #expect(CoturnRanges.blocks(text)?.map(\.description) == blocks)
  }

  @Test("No file traps the translation, and its output is read as the same settings or refused")
  func mutation() {
    var generator = SplitMix(state: 7)
    let words = CoturnOption.all.map(\.name)
    let values = [
      "", "1", "0", "-1", "192.0.2.1", "::1", "a:b", "\"", "10.0.0.0-10.0.0.9", "=", "é", "1/2/3", "99999999999",
    ]
    for _ in 0..<150 {
      let count = Int(generator.next() % 6)
      let text = (0..<count).map { _ in
        words[Int(generator.next() % UInt64(words.count))] + "=" + values[Int(generator.next() % UInt64(values.count))]
      }.joined(separator: "\n")
      let translation = translate(text)
      #expect(translation.remarks.allSatisfy { !$0.text.isEmpty })
      let direct = try? read(text).settings.effectiveYAML()
      let printed = try? reader(translation.yaml).read(file: "t.yml").settings.effectiveYAML()
      #expect(direct == printed, "\(text)")
    }
  }

  private struct SplitMix {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var word = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
      word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
      return word ^ word >> 31
    }
  }

  private static let privateNetworks =
    "denied-peer-ip: coturn relays to private networks (10.0.0.0/8, …); this server relays only to those in peers.allow"
}
