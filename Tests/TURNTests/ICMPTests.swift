import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("RFC 8656 section 11.5: ICMP errors")
struct ICMPTests {
  /// The indications that the relay sends for ICMP messages about `peer`.
  func indications(
    _ conversation: Conversation, type: UInt8, code: UInt8 = 0, mtu: UInt32 = 0, about peer: String, count: Int = 1
  ) -> [[UInt8]] {
    let peer = SocketAddress(peer)!
    guard let port = conversation.openPorts.first(where: { $0.value.family == peer.family }) else { return [] }
    let before = conversation.lateReplies.count
    for _ in 0..<count {
      conversation.relay.receiveICMP(
        type: type, code: code, mtu: mtu, about: peer, on: port.key, now: conversation.now)
      conversation.runCommands()
    }
    return conversation.lateReplies[before...].map(\.1)
  }

  @Test(
    "An ICMP error becomes a Data indication with the peer's address and ICMP, without DATA",
    arguments: [
      (3, 3, 0), (3, 4, 1280), (11, 0, 0),
    ] as [(UInt8, UInt8, UInt32)])
  func indication(type: UInt8, code: UInt8, mtu: UInt32) throws {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.allocate()
    client.permit("8.8.8.8:1")
    let bytes = try #require(
      indications(conversation, type: type, code: code, mtu: mtu, about: "8.8.8.8:7000").first)
    #expect(conversation.lateReplies.last?.0 == client.path)
    let message = try MessageView(bytes.span.rawBytes)
    let (messageType, peer) = (message.type, try message.xorAddress(.xorPeerAddress))
    let hasData = message.has(.data)
    let value = message.value(of: .icmp)?.copied()
    #expect(messageType == MessageType(.data, .indication))
    #expect(peer == SocketAddress("8.8.8.8:7000"))
    #expect(!hasData)
    // Figure 11 of section 18.13: 16 bits reserved, 7 of type, 9 of code, 32 of error data.
    #expect(value == [0, 0, type << 1, code, 0, 0, UInt8(mtu >> 8), UInt8(mtu & 0xFF)])
  }

  @Test("ICMPv6 types 1 to 3 are relayed", arguments: [(1, true), (2, true), (3, true), (4, false), (11, false)])
  func ipv6(type: UInt8, isRelayed: Bool) {
    let conversation = Conversation(allow: ["2001:db8::/32"])
    let client = TestClient(conversation)
    client.allocate { $0.append(.requestedAddressFamily, UInt32(2) << 24) }
    client.permit("[2001:db8::9]:1")
    #expect(indications(conversation, type: type, about: "[2001:db8::9]:7").count == (isRelayed ? 1 : 0))
  }

  @Test(
    "Other types, peers without a permission and expired permissions give no indication",
    arguments: [0, 4, 5, 8, 12])
  func silence(type: UInt8) {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.allocate()
    client.permit("8.8.8.8:1")
    #expect(indications(conversation, type: type, about: "8.8.8.8:7000").isEmpty)
    #expect(indications(conversation, type: 3, about: "8.8.4.4:7000").isEmpty)
    conversation.tick(seconds: 300)
    #expect(indications(conversation, type: 3, about: "8.8.8.8:7000").isEmpty)
  }

  @Test("At most ten indications a second are sent")
  func rate() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.allocate()
    client.permit("8.8.8.8:1")
    #expect(indications(conversation, type: 3, about: "8.8.8.8:7000", count: 50).count == 10)
    conversation.tick(seconds: 1)
    #expect(indications(conversation, type: 3, about: "8.8.8.8:7000", count: 50).count == 10)
  }

  @Test("Another relay of the server is named by its advertised address behind a 1:1 NAT")
  func translated() throws {
    let conversation = Conversation(advertise: "198.51.100.77")
    let client = TestClient(conversation)
    let own = try #require(client.allocate()?.relayedAddress)
    let target = try #require(TestClient(conversation, "192.0.2.8:1").allocate()?.relayedAddress)
    client.permit("\(target)")
    let port = try #require(conversation.openPorts.first { $0.value.port == own.port }?.key)
    let before = conversation.lateReplies.count
    conversation.relay.receiveICMP(
      type: 3, code: 3, mtu: 0, about: SocketAddress(IPAddress("203.0.113.1")!, port: target.port), on: port,
      now: conversation.now)
    conversation.runCommands()
    let bytes = try #require(conversation.lateReplies.dropFirst(before).first?.1)
    let peer = try MessageView(bytes.span.rawBytes).xorAddress(.xorPeerAddress)
    #expect(peer == target)
  }
}
