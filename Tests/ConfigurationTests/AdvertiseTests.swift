internal import NetworkTypes
internal import Testing

@testable internal import Configuration

@Suite("relay.advertise and relay.detect")
struct AdvertiseTests {
  private static let local = IPAddress(10, 0, 0, 5)
  private static let open = PublicAddress.address(IPAddress(203, 0, 113, 5))

  static let forms: [(text: String, value: Advertise)] = [
    ("auto", .automatic),
    ("{}", .mapping([:])),
    ("203.0.113.5", .everywhere(open)),
    ("\"2001:db8::5\"", .everywhere(.address(IPAddress("2001:db8::5")!))),
    ("turn.example.org", .everywhere(.name("turn.example.org"))),
    ("{ 10.0.0.5: 203.0.113.5 }", .mapping([local: open])),
    ("{ 10.0.0.5: turn.example.org }", .mapping([local: .name("turn.example.org")])),
  ]

  @Test("Every form is read in a file, and written as it is read", arguments: forms)
  func reads(text: String, value: Advertise) {
    let parsed = parse("relay: { advertise: \(text) }")
    #expect(parsed.problems.isEmpty && parsed.settings.relay.advertise == value)
    #expect(parse(parsed.settings.effectiveYAML()).settings.relay.advertise == value)
  }

  @Test(
    "An environment variable and --set may have every form",
    arguments: [
      ("auto", Advertise.automatic), ("203.0.113.5", .everywhere(open)), ("", .mapping([:])),
      ("10.0.0.5=203.0.113.5", .mapping([local: open])), ("turn.example.org", .everywhere(.name("turn.example.org"))),
      ("{10.0.0.5: 203.0.113.5}", .mapping([local: open])),
    ])
  func inline(text: String, value: Advertise) {
    for parsed in [
      parse("", environment: ["TURNPIKE_RELAY_ADVERTISE": text]), parse("", set: ["relay.advertise=\(text)"]),
    ] {
      #expect(parsed.problems.isEmpty && parsed.settings.relay.advertise == value)
    }
  }

  @Test(
    "A source is read and written",
    arguments: [
      ("interface", AddressSource.interface), ("cloud", .cloud),
      ("stun:stun.example.org", .stun(host: "stun.example.org", port: 3478)),
      ("stun:stun.example.org:19302", .stun(host: "stun.example.org", port: 19302)),
      ("stun:192.0.2.1", .stun(host: "192.0.2.1", port: 3478)),
      ("stun:[2001:db8::1]:3479", .stun(host: "2001:db8::1", port: 3479)),
      ("stun:[2001:db8::1]", .stun(host: "2001:db8::1", port: 3478)),
    ])
  func sources(text: String, source: AddressSource) {
    #expect(AddressSource(text) == source && source.description == text)
  }

  @Test(
    "No other text is a source",
    arguments: ["", "stun:", "stun::3478", "stun:a:b", "stun:a:1:2", "stun:a:70000", "turn:a"])
  func noSources(text: String) { #expect(AddressSource(text) == nil) }

  @Test("relay.detect without advertise: auto is a warning; auto without relay.detect has two sources")
  func detect() {
    let parsed = parse("relay: { detect: [cloud] }")
    #expect(parsed.problems.map(\.key) == ["relay.detect"] && parsed.problems.allSatisfy { $0.severity == .warning })
    #expect(parse("relay: { advertise: auto }").settings.relay.sources == [.interface, .cloud])
  }

  @Test("One address is for its family, a name for both, and only names and auto are looked up")
  func families() {
    let sixth = IPAddress("2001:db8::1")!
    #expect(Advertise.everywhere(Self.open).configured(for: Self.local) == Self.open)
    #expect(Advertise.everywhere(Self.open).configured(for: sixth) == nil)
    let name = PublicAddress.name("turn.example.org")
    #expect(Advertise.everywhere(name).configured(for: sixth) == name)
    #expect(Self.forms.map(\.value.looksUp) == [true, false, false, false, true, false, true])
  }
}
