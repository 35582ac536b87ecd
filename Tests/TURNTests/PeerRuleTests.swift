import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("Who may be a peer")
struct PeerRuleTests {
  @Test(
    "every notation of an address that is not public is refused",
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
    "public addresses are allowed, next to the borders too",
    arguments: [
      "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
      "172.15.255.255", "172.32.0.0", "192.0.1.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
      "2001:4860:4860::8888", "2a00::1", "64:ff9c::1",
    ])
  func allowed(text: String) throws {
    let address = try #require(IPAddress(text))
    #expect(PeerRules().permits(address))
  }

  struct Precedence: Sendable {
    var allow: [String] = []
    var deny: [String] = []
    var address: String
    var isAllowed: Bool
  }

  @Test(
    "the most specific rule wins, deny wins a tie among configured ones, configured beats built-in of one length",
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

  @Test("an IPv6 form of IPv4 is 443 on an IPv4 allocation and 403 on an IPv6 one, whatever is inside")
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

  @Test("our own listener stays closed whatever is allowed; the rest of an opened address of ours does not")
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

  @Test("our relay address can be permitted without any rule, and only ports of live allocations pass")
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
    // Handed over on the shard, through the checks of both sides.
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

  @Test("new rules take effect on live permissions and channels")
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
