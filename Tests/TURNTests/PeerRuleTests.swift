import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("Rules for peers")
struct PeerRuleTests {
  @Test(
    "Every notation of an address that is not public is refused",
    arguments: [
      "0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1",
      "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1",
      "203.0.113.200", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1",
      "::ffff:0:127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001:db8::5",
      "fc00::1", "fd12::1", "fe80::1", "fec0::1", "ff02::1", "2002:808:808::1", "2001:0:1::1",
    ])
  func refused(text: String) throws {
    let address = try #require(IPAddress(text))
    #expect(!PeerRules().permits(address))
  }

  @Test(
    "Public addresses are allowed, also at the borders of refused blocks",
    arguments: [
      "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
      "172.15.255.255", "172.32.0.0", "192.0.1.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
      "2001:4860:4860::8888", "2a00::1",
    ])
  func allowed(text: String) throws {
    let address = try #require(IPAddress(text))
    #expect(PeerRules().permits(address))
  }

  /// A built-in IPv6 block and its neighbours.
  struct Border: Sendable, CustomTestStringConvertible {
    var block: String
    var last: String
    /// The addresses directly below and above the block, and whether they may be peers; nil if there is none.
    var below: (text: String, isAllowed: Bool)?
    var above: (text: String, isAllowed: Bool)?

    var testDescription: String { block }
  }

  static let ones = "ffff:ffff:ffff:ffff"
  static let borders = [
    Border(block: "::/3", last: "1fff:ffff:ffff:ffff:\(ones)", below: nil, above: ("2000::", true)),
    Border(
      block: "4000::/2", last: "7fff:ffff:ffff:ffff:\(ones)", below: ("3fff:ffff:ffff:ffff:\(ones)", true),
      above: ("8000::", false)),
    Border(
      block: "8000::/1", last: "ffff:ffff:ffff:ffff:\(ones)", below: ("7fff:ffff:ffff:ffff:\(ones)", false), above: nil),
    Border(
      block: "2001::/32", last: "2001:0:ffff:ffff:\(ones)", below: ("2000:ffff:ffff:ffff:\(ones)", true),
      above: ("2001:1::", true)),
    Border(
      block: "2001:2::/48", last: "2001:2:0:ffff:\(ones)", below: ("2001:1:ffff:ffff:\(ones)", true),
      above: ("2001:2:1::", true)),
    Border(
      block: "2001:10::/28", last: "2001:1f:ffff:ffff:\(ones)", below: ("2001:f:ffff:ffff:\(ones)", true),
      above: ("2001:20::", false)),
    Border(
      block: "2001:20::/28", last: "2001:2f:ffff:ffff:\(ones)", below: ("2001:1f:ffff:ffff:\(ones)", false),
      above: ("2001:30::", true)),
    Border(
      block: "2001:db8::/32", last: "2001:db8:ffff:ffff:\(ones)", below: ("2001:db7:ffff:ffff:\(ones)", true),
      above: ("2001:db9::", true)),
    Border(
      block: "2002::/16", last: "2002:ffff:ffff:ffff:\(ones)", below: ("2001:ffff:ffff:ffff:\(ones)", true),
      above: ("2003::", true)),
    Border(
      block: "3fff::/20", last: "3fff:fff:ffff:ffff:\(ones)", below: ("3ffe:ffff:ffff:ffff:\(ones)", true),
      above: ("3fff:1000::", true)),
    Border(
      block: "64:ff9b:1::/48", last: "64:ff9b:1:ffff:\(ones)", below: ("64:ff9b:0:ffff:\(ones)", false),
      above: ("64:ff9b:2::", false)),
    Border(
      block: "100::/64", last: "100::\(ones)", below: ("ff:ffff:ffff:ffff:\(ones)", false),
      above: ("100:0:0:1::", false)),
    Border(
      block: "5f00::/16", last: "5f00:ffff:ffff:ffff:\(ones)", below: ("5eff:ffff:ffff:ffff:\(ones)", false),
      above: ("5f01::", false)),
    Border(
      block: "fc00::/7", last: "fdff:ffff:ffff:ffff:\(ones)", below: ("fbff:ffff:ffff:ffff:\(ones)", false),
      above: ("fe00::", false)),
    Border(
      block: "fe80::/10", last: "febf:ffff:ffff:ffff:\(ones)", below: ("fe7f:ffff:ffff:ffff:\(ones)", false),
      above: ("fec0::", false)),
    Border(
      block: "fec0::/10", last: "feff:ffff:ffff:ffff:\(ones)", below: ("febf:ffff:ffff:ffff:\(ones)", false),
      above: ("ff00::", false)),
    Border(
      block: "ff00::/8", last: "ffff:ffff:ffff:ffff:\(ones)", below: ("feff:ffff:ffff:ffff:\(ones)", false), above: nil),
  ]

  @Test("The first and last addresses of each denied IPv6 block, and their neighbours", arguments: borders)
  func everyBorder(row: Border) throws {
    let block = try #require(CIDRBlock(row.block))
    let gate = PeerGate(
      rules: PeerRules(), relayed: RelayedAddresses(entries: [], ports: 50_000...50_001), ownAddresses: [], closed: [])
    for (text, isAllowed) in [(block.base.description, false), (row.last, false), row.below, row.above].compactMap(
      \.self)
    {
      let address = try #require(IPAddress(text))
      #expect(PeerRules().permits(address) == isAllowed, "\(text)")
      #expect((gate.verdict(address) == .allowed) == isAllowed, "\(text)")
    }
    #expect(block.contains(try #require(IPAddress(row.last))))
    for neighbour in [row.below, row.above].compactMap(\.self) {
      #expect(!block.contains(try #require(IPAddress(neighbour.text))))
    }
    // A rule for a block allows it, except for 6to4 and Teredo; a rule for all of IPv6 allows no block.
    let allowed = PeerRules(allow: [block])
    #expect(allowed.permits(block.base) == !["2001::/32", "2002::/16", "::/3"].contains(row.block))
    #expect(!PeerRules(allow: [CIDRBlock("::/0")!]).permits(block.base))
  }

  @Test("Every built-in block of IPv6 has a row")
  func bordersComplete() {
    let tested = Set(Self.borders.map(\.block)).union(["::/128", "::1/128"])
    for block in PeerRules.deniedUnlessAllowed + PeerRules.deniedAlways where block.base.family == .ipv6 {
      #expect(tested.contains(block.description), "\(block)")
    }
  }

  @Test(
    "An ISATAP address is judged by its embedded IPv4 address",
    arguments: [
      ("2a00:1::5efe:10.0.0.1", false), ("2a00:1::200:5efe:10.0.0.1", false), ("2a00:1::5efe:127.0.0.1", false),
      ("2a00:1::200:5efe:169.254.169.254", false), ("2a00:1::5efe:192.168.255.255", false),
      ("2a00:1::5efe:203.0.113.1", false), ("2a00:1::5efe:8.8.8.8", true), ("2a00:1::200:5efe:8.8.8.8", true),
      ("2a00:1::100:5efe:10.0.0.1", true), ("2a00:1::5eff:10.0.0.1", true), ("2a00:1::1:5efe:10.0.0.1", true),
      ("fd00::5efe:8.8.8.8", false), ("::5efe:8.8.8.8", false), ("fe80::5efe:8.8.8.8", false),
    ])
  func isatap(text: String, isAllowed: Bool) throws {
    let address = try #require(IPAddress(text))
    #expect(PeerRules().permits(address) == isAllowed)
    // The ISATAP form of a host's address leads to the host.
    let gate = PeerGate(
      rules: PeerRules(), relayed: RelayedAddresses(entries: [], ports: 50_000...50_001),
      ownAddresses: [IPAddress("8.8.8.8")!], closed: [])
    #expect(gate.verdict(address) == (isAllowed && address.isatapIPv4 == nil ? .allowed : .forbidden))
    // A rule that allows an IPv4 block allows its ISATAP forms.
    let opened = PeerRules(
      allow: ["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "203.0.113.0/24"].compactMap {
        CIDRBlock($0)
      })
    #expect(opened.permits(address) == (address.high >> 61 == 1))
  }

  struct Precedence: Sendable {
    var allow: [String] = []
    var deny: [String] = []
    var address: String
    var isAllowed: Bool
  }

  @Test(
    "The longest rule wins, a configured denial wins a tie, and a configured rule beats a built-in one",
    arguments: [
      Precedence(allow: ["10.0.0.0/8"], address: "10.1.1.1", isAllowed: true),
      Precedence(allow: ["0.0.0.0/0"], address: "10.1.1.1", isAllowed: false),
      Precedence(allow: ["10.1.0.0/16"], address: "10.1.1.1", isAllowed: true),
      Precedence(allow: ["10.1.0.0/16"], address: "10.2.1.1", isAllowed: false),
      Precedence(allow: ["10.0.0.0/8"], deny: ["10.0.0.0/8"], address: "10.1.1.1", isAllowed: false),
      Precedence(allow: ["10.1.0.0/16"], deny: ["10.0.0.0/8"], address: "10.1.1.1", isAllowed: true),
      Precedence(deny: ["8.8.8.8"], address: "8.8.8.8", isAllowed: false),
      Precedence(deny: ["0.0.0.0/0"], address: "8.8.8.8", isAllowed: false),
      Precedence(deny: ["8.8.8.8"], address: "::ffff:8.8.8.8", isAllowed: false),
      Precedence(allow: ["::ffff:10.0.0.0/104"], address: "10.1.1.1", isAllowed: true),
      Precedence(allow: ["2002::/16"], address: "2002::1", isAllowed: false),
      Precedence(allow: ["2002:101::/32"], address: "2002:101::1", isAllowed: false),
      Precedence(allow: ["2001::/32"], address: "2001::1", isAllowed: false),
      Precedence(allow: ["::1"], address: "::1", isAllowed: true),
      Precedence(allow: ["fe80::/10"], address: "fe80::1", isAllowed: true),
    ])
  func precedence(rule: Precedence) throws {
    let rules = PeerRules(
      allow: rule.allow.compactMap { CIDRBlock($0) }, deny: rule.deny.compactMap { CIDRBlock($0) })
    let address = try #require(IPAddress(rule.address))
    #expect(rules.permits(address) == rule.isAllowed)
  }

  @Test("An IPv6 form of an IPv4 address gives 443 on an IPv4 allocation and 403 on an IPv6 one")
  func embedded() {
    let conversation = Conversation(allow: ["::ffff:0:0/96", "8.0.0.0/8"])
    let client = TestClient(conversation)
    client.allocate()
    #expect(client.permit("[::ffff:8.8.8.8]:1")?.code == 443)
    let second = TestClient(conversation, "192.0.2.8:5000")
    second.allocate { $0.append(.requestedAddressFamily, UInt32(2) << 24) }
    #expect(second.permit("[::ffff:8.8.8.8]:1")?.code == 403)
    #expect(second.permit("[64:ff9b::8.8.8.8]:1")?.code == 403)
    #expect(second.permit("8.8.8.8:1")?.code == 443)
  }

  @Test("Our own listener stays forbidden under every rule; other ports of an allowed own address do not")
  func ownListener() {
    let conversation = Conversation(allow: ["203.0.113.0/24", "127.0.0.0/8"], closed: ["0.0.0.0:3478"])
    let client = TestClient(conversation)
    client.allocate()
    for address in ["203.0.113.1", "127.0.0.1", "127.3.2.1"] {
      #expect(client.permit("\(address):3478")?.code == nil)
      #expect(client.bind(0x4000, "\(address):3478")?.code == 403)
      #expect(client.sendIndication("\(address):3478", [1]).drop == .forbiddenPeer)
      #expect(client.sendIndication("\(address):3479", [1]).peer != nil)
    }
    #expect(client.permit("203.0.113.77:3478")?.code == nil)
    #expect(client.sendIndication("203.0.113.77:3478", [1]).peer != nil)
  }

  @Test("Our relay address needs no rule, and only ports of live allocations pass")
  func ownRelays() throws {
    let conversation = Conversation()
    let alice = TestClient(conversation)
    let bob = TestClient(conversation, "192.0.2.8:5000")
    let aliceRelay = try #require(alice.allocate()?.relayedAddress)
    let bobRelay = try #require(bob.allocate()?.relayedAddress)
    #expect(alice.permit("\(bobRelay)")?.code == nil)
    #expect(alice.sendIndication("203.0.113.1:22", [1]).drop == .forbiddenPeer)
    #expect(alice.bind(0x4000, "203.0.113.1:22")?.code == 403)
    #expect(alice.bind(0x4000, "\(bobRelay)")?.code == nil)
    // The packet is handed over within the shard and passes the checks of both sides.
    #expect(alice.channelData(0x4000, [1]).drop == .noPermission)
    #expect(bob.permit("\(aliceRelay)")?.code == nil)
    let handed = alice.channelData(0x4000, [1, 2, 3])
    guard case .toClient(let path, 4, 3, let padding) = handed else {
      Issue.record("\(handed)")
      return
    }
    #expect(path == bob.path)
    #expect(padding == 1)
    #expect(conversation.relay.copiedReply().prefix(2) == [0x00, 0x17])
    #expect(bob.hear([1], from: "\(aliceRelay)", on: bobRelay).client == bob.path)
    #expect(bob.hear([1], from: "203.0.113.1:22", on: bobRelay).drop == .forbiddenPeer)
    bob.refresh(0)
    #expect(alice.channelData(0x4000, [1]).drop == .forbiddenPeer)
  }

  @Test("New rules apply to live permissions and channels")
  func reload() throws {
    let conversation = Conversation()
    let client = TestClient(conversation)
    let relayed = try #require(client.allocate()?.relayedAddress)
    client.bind(0x4000, "8.8.8.8:53")
    let settings = conversation.relay.settings
    conversation.relay.update(
      settings: settings,
      gate: PeerGate(
        rules: PeerRules(deny: [CIDRBlock("8.8.8.8")!]), relayed: conversation.relayed, ownAddresses: [], closed: []))
    #expect(client.channelData(0x4000, [1]).drop == .forbiddenPeer)
    #expect(client.sendIndication("8.8.8.8:53", [1]).drop == .forbiddenPeer)
    #expect(client.hear([1], from: "8.8.8.8:53", on: relayed).drop == .forbiddenPeer)
  }
}
