import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("Permissions, channels and traffic")
struct TrafficTests {
  /// A client with an allocation, and its relayed address.
  func allocated(_ conversation: Conversation, _ address: String = "192.0.2.7:5000") throws -> (
    TestClient, SocketAddress
  ) {
    let client = TestClient(conversation, address)
    let relayed = try #require(client.allocate()?.relayedAddress)
    return (client, relayed)
  }

  @Test("Without a permission no data passes; with one both directions pass for exactly 300 seconds")
  func permission() throws {
    let conversation = Conversation()
    let (client, relayed) = try allocated(conversation)
    #expect(client.sendIndication("8.8.8.8:53", [1, 2, 3]).drop == .noPermission)
    #expect(client.hear([9], from: "8.8.8.8:53", on: relayed).drop == .noPermission)
    #expect(client.permit("8.8.8.8:0")?.type == MessageType(.createPermission, .success))
    #expect(client.sendIndication("8.8.8.8:53", [1, 2, 3]).peer == SocketAddress("8.8.8.8:53"))
    #expect(client.hear([9], from: "8.8.8.8:99", on: relayed).client == client.path)
    conversation.tick(seconds: 299)
    #expect(client.hear([9], from: "8.8.8.8:99", on: relayed).client == client.path)
    #expect(client.sendIndication("8.8.8.8:53", [1]).peer != nil)
    conversation.tick(seconds: 1)
    #expect(client.hear([9], from: "8.8.8.8:99", on: relayed).drop == .noPermission)
    #expect(client.sendIndication("8.8.8.8:53", [1]).drop == .noPermission)
    conversation.wait(seconds: 1)
    #expect(conversation.relay.permissions.count == 0)
  }

  @Test("A peer's datagram becomes a Data indication with the same bytes")
  func dataIndication() throws {
    let conversation = Conversation()
    let (client, relayed) = try allocated(conversation)
    client.permit("8.8.8.8:0")
    let data: [UInt8] = [1, 2, 3, 4, 5]
    let disposition = client.hear(data, from: "8.8.8.8:53", on: relayed)
    guard case .toClient(_, _, _, let padding) = disposition else {
      Issue.record("\(disposition)")
      return
    }
    let bytes = conversation.relay.copiedReply() + data + [UInt8](repeating: 0, count: padding)
    let message = try MessageView(bytes.span.rawBytes)
    let isData = message.type == MessageType(.data, .indication)
    #expect(isData)
    let peer = try message.xorAddress(.xorPeerAddress)
    #expect(peer == SocketAddress("8.8.8.8:53"))
    let payload = message.value(of: .data)?.copied()
    #expect(payload == data)
  }

  @Test("A channel carries both directions; its permission ends after 300 s, the channel after 600")
  func channel() throws {
    let conversation = Conversation()
    let (client, relayed) = try allocated(conversation)
    #expect(client.channelData(0x4000, [1]).drop == .noChannel)
    #expect(client.bind(0x4000, "8.8.8.8:53")?.type == MessageType(.channelBind, .success))
    #expect(client.channelData(0x4000, [1, 2]).peer == SocketAddress("8.8.8.8:53"))
    #expect(client.hear([7, 8, 9], from: "8.8.8.8:53", on: relayed).client == client.path)
    #expect(conversation.relay.copiedReply() == [0x40, 0x00, 0x00, 0x03])
    // Another port of the same peer has no channel, so the client gets an indication.
    _ = client.hear([7], from: "8.8.8.8:54", on: relayed)
    #expect(conversation.relay.copiedReply().prefix(2) == [0x00, 0x17])
    conversation.tick(seconds: 300)
    #expect(client.hear([7], from: "8.8.8.8:53", on: relayed).drop == .noPermission)
    #expect(client.channelData(0x4000, [1]).peer != nil)
    client.permit("8.8.8.8:0")
    #expect(client.hear([7], from: "8.8.8.8:53", on: relayed).client == client.path)
    conversation.tick(seconds: 300)
    #expect(client.channelData(0x4000, [1]).drop == .noAllocation)
  }

  @Test("A channel outlives its permission, and carries no data without one")
  func channelWithoutPermission() throws {
    let conversation = Conversation()
    let (client, relayed) = try allocated(conversation)
    client.bind(0x4000, "8.8.8.8:53")
    #expect(client.hear([7], from: "8.8.8.8:53", on: relayed).client == client.path)
    conversation.wait(seconds: 301)
    #expect(conversation.relay.permissions.count == 0 && conversation.relay.channels.count == 1)
    #expect(client.hear([7], from: "8.8.8.8:53", on: relayed).drop == .noPermission)
    client.permit("8.8.8.8:0")
    #expect(client.hear([7], from: "8.8.8.8:53", on: relayed).client == client.path)
    #expect(conversation.relay.copiedReply() == [0x40, 0x00, 0x00, 0x01])
  }

  @Test("The cached last channel is checked, because its slot may belong to another allocation")
  func recentChannel() throws {
    let conversation = Conversation()
    let (first, firstRelayed) = try allocated(conversation, "192.0.2.7:5000")
    let (second, secondRelayed) = try allocated(conversation, "192.0.2.8:5000")
    first.bind(0x4000, "8.8.8.8:53")
    #expect(first.channelData(0x4000, [1]).peer == SocketAddress("8.8.8.8:53"))
    conversation.tick(seconds: 400)
    first.refresh(600)
    second.refresh(600)
    // The first client's channel expires, and the second client gets its slot with the same number.
    conversation.tick(seconds: 200)
    conversation.wait(seconds: 1)
    #expect(conversation.relay.channels.count == 0)
    second.challenge()
    #expect(second.bind(0x4000, "9.9.9.9:53")?.type == MessageType(.channelBind, .success))
    #expect(conversation.relay.channels.upperBound == 1)
    #expect(first.channelData(0x4000, [1]).drop == .noChannel)
    first.challenge()
    first.permit("9.9.9.9:0")
    _ = first.hear([7], from: "9.9.9.9:53", on: firstRelayed)
    #expect(conversation.relay.copiedReply().prefix(2) == [0x00, 0x17])
    #expect(second.channelData(0x4000, [1]).peer == SocketAddress("9.9.9.9:53"))
    // With two channels, packets alternate in both directions and each finds its channel.
    second.bind(0x4001, "9.9.9.9:54")
    for _ in 0..<2 {
      #expect(second.channelData(0x4001, [1]).peer == SocketAddress("9.9.9.9:54"))
      #expect(second.channelData(0x4000, [1]).peer == SocketAddress("9.9.9.9:53"))
      _ = second.hear([7], from: "9.9.9.9:54", on: secondRelayed)
      #expect(conversation.relay.copiedReply().prefix(2) == [0x40, 0x01])
      _ = second.hear([7], from: "9.9.9.9:53", on: secondRelayed)
      #expect(conversation.relay.copiedReply().prefix(2) == [0x40, 0x00])
    }
  }

  @Test("A channel lives 600 s, and binding it again extends it")
  func channelLifetime() throws {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.allocate { $0.append(.lifetime, UInt32(3600)) }
    client.bind(0x4001, "8.8.8.8:53")
    conversation.wait(seconds: 500)
    client.challenge()
    #expect(client.bind(0x4001, "8.8.8.8:53")?.code == nil)
    conversation.wait(seconds: 500)
    #expect(client.channelData(0x4001, [1]).peer != nil)
    conversation.tick(seconds: 100)
    #expect(client.channelData(0x4001, [1]).drop == .noChannel)
    conversation.wait(seconds: 1)
    #expect(conversation.relay.channels.count == 0)
    // After the channel has expired, its number can be bound to another peer.
    client.challenge()
    #expect(client.bind(0x4001, "8.8.4.4:53")?.code == nil)
  }

  @Test(
    "A wrong ChannelBind gives its error code",
    arguments: [
      (UInt16(0x3FFF), "8.8.8.8:53", UInt16(400)), (0x8000, "8.8.8.8:53", 400), (0x4001, "8.8.8.8:53", 400),
      (0x4000, "8.8.8.8:54", 400), (0x4002, "8.8.8.8:0", 400), (0x4002, "[2001:4860::8]:53", 443),
      (0x4002, "10.0.0.1:53", 403),
    ])
  func channelRefusals(number: UInt16, peer: String, code: UInt16) throws {
    let (client, _) = try allocated(Conversation())
    client.bind(0x4000, "8.8.8.8:53")
    #expect(client.bind(number, peer)?.code == code)
  }

  @Test("One invalid peer in CreatePermission installs none")
  func atomicPermissions() throws {
    let conversation = Conversation()
    let (client, _) = try allocated(conversation)
    #expect(client.permit("8.8.8.8:1", "10.0.0.1:1")?.code == 403)
    #expect(client.permit("8.8.8.8:1", "[2001:4860::8]:1")?.code == 443)
    #expect(conversation.relay.permissions.count == 0)
    #expect(client.permit()?.code == 400)
    #expect(client.permit("8.8.8.8:1", "8.8.4.4:1")?.code == nil)
    #expect(conversation.relay.permissions.count == 2)
  }

  @Test("A full table gives 508, and its entries can still be refreshed")
  func caps() throws {
    let conversation = Conversation {
      $0.realms[0].limits.permissionsPerAllocation = 2
      $0.realms[0].limits.channelsPerAllocation = 1
    }
    let (client, _) = try allocated(conversation)
    client.permit("8.8.8.1:1", "8.8.8.2:1")
    #expect(client.permit("8.8.8.3:1")?.code == 508)
    #expect(client.permit("8.8.8.2:1")?.code == nil)
    #expect(client.bind(0x4000, "8.8.8.1:1")?.code == nil)
    #expect(client.bind(0x4001, "8.8.8.2:1")?.code == 508)
    #expect(client.bind(0x4000, "8.8.8.1:1")?.code == nil)
  }

  @Test("After a reload lowers a limit, existing entries can be refreshed and none is added")
  func loweredCaps() throws {
    let conversation = Conversation()
    let (client, _) = try allocated(conversation)
    for (number, peer) in [(UInt16(0x4000), "8.8.8.1:1"), (0x4001, "8.8.8.2:1")] {
      #expect(client.bind(number, peer)?.code == nil)
    }
    conversation.change {
      $0.realms[0].limits.permissionsPerAllocation = 1
      $0.realms[0].limits.channelsPerAllocation = 1
    }
    #expect(client.bind(0x4001, "8.8.8.2:1")?.code == nil)
    #expect(client.permit("8.8.8.1:1", "8.8.8.2:1")?.code == nil)
    #expect(client.bind(0x4002, "8.8.8.1:2")?.code == 508)
    #expect(client.permit("8.8.8.1:1", "8.8.8.3:1")?.code == 508)
    #expect(conversation.relay.permissions.count == 2 && conversation.relay.channels.count == 2)
  }

  @Test("Without an allocation each method gives 437, on another user's 441")
  func ownership() throws {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.challenge()
    for method in [Method.refresh, .createPermission, .channelBind] {
      #expect(client.ask(client.request(method))?.code == 437)
    }
    client.allocate()
    let intruder = TestClient(conversation)
    intruder.username = "bob"
    intruder.key = Conversation.otherKey
    intruder.challenge()
    #expect(intruder.refresh(0)?.code == 441)
    #expect(intruder.permit("8.8.8.8:1")?.code == 441)
    #expect(intruder.bind(0x4000, "8.8.8.8:1")?.code == 441)
    #expect(conversation.relay.allocationCount == 1)
  }

  @Test("Refresh with lifetime 0 frees everything at once, and the five-tuple can allocate again")
  func deletion() throws {
    let conversation = Conversation()
    let (client, relayed) = try allocated(conversation)
    client.bind(0x4000, "8.8.8.8:53")
    #expect(client.refresh(0)?.lifetime == 0)
    #expect(conversation.openPorts.isEmpty)
    #expect(conversation.relay.permissions.count + conversation.relay.channels.count == 0)
    #expect(client.channelData(0x4000, [1]).drop == .noAllocation)
    #expect(client.hear([1], from: "8.8.8.8:53", on: relayed).drop == .noRelayPort)
    #expect(client.refresh(600)?.code == 437)
    #expect(client.allocate()?.relayedAddress != nil)
    #expect(conversation.admitted == 1)
  }

  @Test("An allocation ends at the second of its expiry, and its timer frees it")
  func expiry() throws {
    let conversation = Conversation()
    let (client, relayed) = try allocated(conversation)
    client.permit("8.8.8.8:1")
    conversation.tick(seconds: 599)
    client.permit("8.8.8.8:1")
    #expect(client.hear([1], from: "8.8.8.8:1", on: relayed).client != nil)
    conversation.tick(seconds: 1)
    #expect(client.hear([1], from: "8.8.8.8:1", on: relayed).drop == .noAllocation)
    conversation.wait(seconds: 1)
    #expect(conversation.relay.allocationCount == 0)
    #expect(conversation.openPorts.isEmpty)
    #expect(conversation.admitted == 0)
    #expect(conversation.relay.nextDeadline == nil)
  }

  @Test("One client at two server addresses has two five-tuples")
  func endpoints() throws {
    let conversation = Conversation()
    let here = TestClient(conversation, endpoint: 0)
    let there = TestClient(conversation, endpoint: 1)
    let first = here.allocate()?.relayedAddress
    let second = there.allocate()?.relayedAddress
    #expect(first != nil && second != nil && first != second)
  }

  @Test("Over a stream ChannelData is padded, and the end of the connection deletes the allocation")
  func stream() throws {
    let conversation = Conversation()
    let client = TestClient(conversation, transport: .tcp)
    let relayed = try #require(client.allocate()?.relayedAddress)
    client.bind(0x4000, "8.8.8.8:53")
    let disposition = client.hear([1, 2, 3], from: "8.8.8.8:53", on: relayed)
    if case .toClient(let path, _, _, let padding) = disposition {
      #expect(path == client.path)
      #expect(padding == 1)
    } else {
      Issue.record("\(disposition)")
    }
    conversation.relay.connectionClosed(client.path, now: conversation.now)
    conversation.runCommands()
    #expect(conversation.relay.allocationCount == 0)
    #expect(conversation.openPorts.isEmpty)
  }

  @Test("Behind a 1:1 NAT clients get advertised addresses, and reach each other by them")
  func advertised() throws {
    let conversation = Conversation(advertise: "198.51.100.9")
    let (alice, aliceRelay) = try allocated(conversation)
    let (bob, bobRelay) = try allocated(conversation, "192.0.2.8:5000")
    #expect(aliceRelay.address == IPAddress("198.51.100.9"))
    #expect(alice.permit("\(bobRelay)")?.code == nil)
    #expect(bob.bind(0x4000, "\(aliceRelay)")?.code == nil)
    #expect(alice.sendIndication("\(bobRelay)", [1]).client == bob.path)
    #expect(conversation.relay.copiedReply() == [0x40, 0x00, 0x00, 0x01])
    let source = SocketAddress(IPAddress("203.0.113.1")!, port: aliceRelay.port)
    #expect(bob.hear([1], from: "\(source)", on: bobRelay).client == bob.path)
    #expect(conversation.relay.copiedReply().prefix(2) == [0x40, 0x00])
  }
}
