import NetworkTypes
import STUN
import TestSupport
import Testing

@testable import TURN

/// Client addresses that an operator has banned.
@Suite("Bans")
struct BanTests {
  @Test(
    "A list contains the addresses of its blocks and no others",
    arguments: [
      (["192.0.2.7"], ["192.0.2.7"], ["192.0.2.6", "192.0.2.8", "::c000:207", "0.0.0.0"]),
      (["192.0.2.0/30"], ["192.0.2.0", "192.0.2.3"], ["192.0.1.255", "192.0.2.4"]),
      (["0.0.0.0/1"], ["0.0.0.0", "127.255.255.255"], ["128.0.0.0", "::"]),
      (["255.255.255.255/32", "::/1"], ["255.255.255.255", "::", "7fff::"], ["255.255.255.254", "8000::"]),
      (
        ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3"], ["10.0.0.0", "10.1.2.3", "10.255.255.255"], ["11.0.0.0", "9.9.9.9"]
      ),
      (["2001:db8::/32"], ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"], ["2001:db9::", "2001:db7::"]),
      (["2001:db8::/64"], ["2001:db8::ffff:ffff:ffff:ffff"], ["2001:db8:0:1::"]),
      (["2001:db8::8/125"], ["2001:db8::8", "2001:db8::f"], ["2001:db8::7", "2001:db8::10"]),
      (["2001:db8::1", "2001:db8::1/128"], ["2001:db8::1"], ["2001:db8::2", "2001:db8::"]),
      ([], [], ["192.0.2.7", "::"]),
    ] as [([String], [String], [String])])
  func contains(blocks: [String], inside: [String], outside: [String]) {
    let list = BanList(blocks.compactMap { CIDRBlock($0) })
    #expect(list.isEmpty == blocks.isEmpty)
    for text in inside { #expect(list.contains(IPAddress(text)!), "\(text)") }
    for text in outside { #expect(!list.contains(IPAddress(text)!), "\(text)") }
  }

  @Test("A list contains an address exactly if one of its blocks contains it")
  func random() {
    var generator = SplitMix(state: 7)
    for _ in 0..<200 {
      let blocks = (0..<Int.random(in: 1...40, using: &generator)).map { _ in
        // Few different bits, so that blocks overlap.
        CIDRBlock(
          IPAddress(ipv4: UInt32.random(in: 0...0xFF, using: &generator) << 8),
          prefixLength: Int.random(in: 16...32, using: &generator))
      }
      let list = BanList(blocks)
      for _ in 0..<50 {
        let address = IPAddress(ipv4: UInt32.random(in: 0...0xFFFF, using: &generator))
        #expect(list.contains(address) == blocks.contains { $0.contains(address) }, "\(blocks) \(address)")
      }
    }
  }

  @Test("A banned client gets no answer to any request until the ban is removed; other clients get answers")
  func requests() {
    let conversation = Conversation()
    conversation.relay.update(bans: BanList([CIDRBlock("192.0.2.0/24")!]))
    let banned = TestClient(conversation)
    #expect(banned.send(banned.request(.allocate, signs: false)).drop == .banned)
    #expect(banned.send(banned.request(.binding, signs: false)).drop == .banned)
    #expect(banned.send([0x00]).drop == .malformed)
    let other = TestClient(conversation, "198.51.100.7:5000")
    #expect(other.allocate()?.relayedAddress != nil)
    #expect(conversation.relay.counters.drops(.banned) == 2)
    conversation.relay.update(bans: BanList())
    #expect(banned.allocate()?.relayedAddress != nil)
  }

  @Test("A banned client keeps its live allocation until that is closed; then the client gets no answer")
  func live() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    #expect(client.allocate()?.relayedAddress != nil)
    conversation.relay.update(bans: BanList([CIDRBlock("192.0.2.7/32")!]))
    #expect(client.refresh(600)?.lifetime == 600)
    #expect(client.permit("8.8.8.8:1")?.code == nil)
    let (ended, next) = conversation.relay.endAllocations(
      .clients(CIDRBlock("192.0.2.7/32")!), from: 0, slots: 100, now: conversation.now)
    conversation.runCommands()
    #expect(ended == 1 && next == nil)
    #expect(client.send(client.request(.refresh)).drop == .banned)
  }
}
