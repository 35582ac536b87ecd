import NetworkTypes
import STUN
import Testing

@testable import TURN

/// The peer of a relayed address can be another relayed address of the same server, or itself.
@Suite("Packets between relayed addresses")
struct RelayToRelayTests {
  /// The form of data between client and server.
  enum Way: CaseIterable, Sendable { case channel, indication }

  /// Two clients, each with an allocation.
  func pair(_ conversation: Conversation, family: UInt8 = 1) throws -> (
    a: TestClient, aRelay: SocketAddress, b: TestClient, bRelay: SocketAddress
  ) {
    let a = TestClient(conversation, "192.0.2.7:5000")
    let b = TestClient(conversation, "192.0.2.8:5000")
    func allocate(_ client: TestClient) throws -> SocketAddress {
      try #require(client.allocate { $0.append(.requestedAddressFamily, UInt32(family) << 24) }?.relayedAddress)
    }
    return (a, try allocate(a), b, try allocate(b))
  }

  func send(_ client: TestClient, _ way: Way, to peer: SocketAddress, _ data: [UInt8]) -> Disposition {
    switch way {
    case .channel:
      client.bind(0x4000, "\(peer)")
      return client.channelData(0x4000, data)
    case .indication:
      client.permit("\(peer)")
      return client.sendIndication("\(peer)", data)
    }
  }

  /// The form of the data that the other client receives, and the peer that it names.
  func heard(_ disposition: Disposition, _ conversation: Conversation) -> (way: Way, peer: SocketAddress?)? {
    guard case .toClient(_, _, let count, let padding) = disposition else { return nil }
    let head = conversation.relay.copiedReply()
    if head.first == 0x40 { return (.channel, nil) }
    let bytes = head + [UInt8](repeating: 0, count: count + padding)
    guard let message = try? MessageView(bytes.span.rawBytes), message.type == MessageType(.data, .indication) else {
      return nil
    }
    return (.indication, (try? message.xorAddress(.xorPeerAddress)) ?? nil)
  }

  @Test(
    "Channels and indications carry data out and in for both families, with a 1:1 NAT and without",
    arguments: [nil, "198.51.100.1"],
    [UInt8(1), 2])
  func ways(advertise: String?, family: UInt8) throws {
    for out in Way.allCases {
      for way in Way.allCases {
        let conversation = Conversation(advertise: advertise)
        let (a, aRelay, b, bRelay) = try pair(conversation, family: family)
        if family == 1, let advertise { #expect(aRelay.address == IPAddress(advertise)) }
        // Without a permission of B nothing arrives, whatever A has.
        #expect(send(a, out, to: bRelay, [1, 2, 3]).drop == .noPermission)
        if way == .channel { b.bind(0x4001, "\(aRelay)") } else { b.permit("\(aRelay)") }
        let disposition = send(a, out, to: bRelay, [1, 2, 3])
        #expect(disposition.client == b.path)
        let result = try #require(heard(disposition, conversation))
        #expect(result.way == way)
        if way == .indication { #expect(result.peer == aRelay) }
      }
    }
  }

  @Test(
    "Behind a 1:1 NAT the local form reaches live relays only, and the advertised address is the source")
  func localForm() throws {
    let conversation = Conversation(advertise: "198.51.100.1")
    let (a, aRelay, b, bRelay) = try pair(conversation)
    b.permit("\(aRelay)")
    let local = SocketAddress(IPAddress("203.0.113.1")!, port: bRelay.port)
    let disposition = send(a, .indication, to: local, [1])
    #expect(disposition.client == b.path)
    #expect(heard(disposition, conversation)?.peer == aRelay)
    #expect(a.sendIndication("203.0.113.1:3478", [1]).drop == .forbiddenPeer)
  }

  @Test(
    "Dual allocations reach each other by both families, and the source has the family's own address")
  func families() throws {
    let conversation = Conversation()
    func dual(_ address: String) throws -> (TestClient, [SocketAddress]) {
      let client = TestClient(conversation, address)
      return (
        client, try #require(client.allocate { $0.append(.additionalAddressFamily, UInt32(2) << 24) }).relayedAddresses
      )
    }
    let (a, aRelays) = try dual("192.0.2.7:5000")
    let (b, bRelays) = try dual("[2001:db8:7::8]:5000")
    for family in 0...1 {
      b.permit("\(aRelays[family])")
      let disposition = send(a, .indication, to: bRelays[family], [1])
      #expect(disposition.client == b.path)
      #expect(heard(disposition, conversation)?.peer == aRelays[family])
    }
    // There is no path from one family of an allocation to the other.
    #expect(a.permit("\(aRelays[1])")?.code == nil)
    let own = a.sendIndication("\(aRelays[1])", [1])
    #expect(own.client == a.path)
    #expect(heard(own, conversation)?.peer == aRelays[1])
  }

  @Test("A datagram to the client's own relayed address is sent once and arrives once", arguments: Way.allCases)
  func itself(way: Way) throws {
    let conversation = Conversation()
    let a = TestClient(conversation)
    let relay = try #require(a.allocate()?.relayedAddress)
    let disposition = send(a, way, to: relay, [1, 2, 3])
    #expect(disposition.client == a.path)
    #expect(conversation.relay.counters.toPeers.packets == 1)
    #expect(conversation.relay.counters.toClients.packets == 1)
  }

  @Test("A datagram to the client's own relayed address counts against the bandwidth of both directions")
  func bounded() throws {
    let conversation = Conversation { $0.realms[0].limits.bandwidthPerAllocation = .bytesPerSecond(1000) }
    let a = TestClient(conversation)
    let relay = try #require(a.allocate()?.relayedAddress)
    _ = send(a, .channel, to: relay, [UInt8](repeating: 1, count: 1000))
    #expect(a.channelData(0x4000, [1]).drop == .overBandwidth)
  }

  @Test(
    "After the other allocation ends nothing arrives, and the port's next allocation needs its own permission",
    arguments: Way.allCases)
  func gone(way: Way) throws {
    let conversation = Conversation(ports: 50_000...50_001)
    let (a, aRelay, b, bRelay) = try pair(conversation)
    b.permit("\(aRelay)")
    #expect(send(a, way, to: bRelay, [1]).client == b.path)
    b.refresh(0)
    #expect(send(a, way, to: bRelay, [1]).drop == .forbiddenPeer)
    let c = TestClient(conversation, "192.0.2.9:5000")
    #expect(c.allocate()?.relayedAddress == bRelay)
    #expect(send(a, way, to: bRelay, [1]).drop == .noPermission)
  }

  @Test("An expired allocation receives nothing, even before its timer fires")
  func expired() throws {
    let conversation = Conversation()
    let (a, aRelay, b, bRelay) = try pair(conversation)
    b.bind(0x4001, "\(aRelay)")
    conversation.tick(seconds: 300)
    a.refresh(3600)
    b.permit("\(aRelay)")
    conversation.tick(seconds: 299)
    #expect(send(a, .channel, to: bRelay, [1]).client == b.path)
    conversation.tick(seconds: 1)
    #expect(a.channelData(0x4000, [1]).drop == .noAllocation)
  }

  @Test("A relay of another shard is reached there by its local form, until it ends")
  func anotherShard() throws {
    let first = Conversation(advertise: "198.51.100.1", shard: 0, shardCount: 2)
    let second = Conversation(advertise: "198.51.100.1", shard: 1, shardCount: 2, relayed: first.relayed)
    let a = TestClient(first)
    let b = TestClient(second, "192.0.2.8:5000")
    let aRelay = try #require(a.allocate()?.relayedAddress)
    let bRelay = try #require(b.allocate()?.relayedAddress)
    let disposition = send(a, .channel, to: bRelay, [1])
    guard case .toShard(1, _, let target, _, 1) = disposition else {
      Issue.record("\(disposition)")
      return
    }
    #expect(target == SocketAddress(IPAddress("203.0.113.1")!, port: bRelay.port))
    b.permit("\(aRelay)")
    #expect(b.hear([1], from: "203.0.113.1:\(aRelay.port)", on: bRelay).client == b.path)
    b.refresh(0)
    #expect(a.channelData(0x4000, [1]).drop == .forbiddenPeer)
  }
}
