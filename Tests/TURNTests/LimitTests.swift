import Crypto
import NetworkTypes
import STUN
import Tables
import Testing

@testable import TURN

@Suite("Events of reached limits")
struct LimitTests {
  /// A limit, and a way to reach it repeatedly.
  struct Row: Sendable, CustomTestStringConvertible {
    let limit: RelayLimit
    let transport: TransportProtocol
    let configure: @Sendable (inout RelaySettings) -> Void
    let reach: @Sendable (Scene, SocketAddress) -> Void
    var testDescription: String { "\(limit)" }

    init(
      _ limit: RelayLimit, _ transport: TransportProtocol = .udp,
      _ configure: @escaping @Sendable (inout RelaySettings) -> Void = { _ in },
      _ reach: @escaping @Sendable (Scene, SocketAddress) -> Void
    ) {
      self.limit = limit
      self.transport = transport
      self.configure = configure
      self.reach = reach
    }
  }

  static let rows = [
    Row(.strangers) { scene, _ in for _ in 0..<150 { _ = scene.ask(.binding, signs: false) } },
    Row(.strangersInAll) { scene, _ in for _ in 0..<150 { _ = scene.ask(.binding, signs: false) } },
    Row(.failures) { scene, _ in
      scene.client.nonce = []
      scene.client.challenge()
      let other = TestClient(scene.conversation, "192.0.2.8:1")
      other.key = Conversation.otherKey
      for _ in 0..<15 { other.allocate() }
    },
    Row(.networkFailures) { scene, _ in
      // Four addresses use the network's budget up, and the fifth one reaches its limit.
      for host in [9, 10, 11, 12, 8] {
        for port in 1...5 {
          let other = TestClient(scene.conversation, "192.0.2.\(host):\(port)")
          other.key = Conversation.otherKey
          for _ in 0..<10 { other.allocate() }
        }
      }
    },
    Row(.waitingRequests, .udp, { $0.realms[0].hasStore = true }) { scene, _ in
      scene.client.username = "nobody"
      for _ in 0..<30 { _ = scene.allocate(Scene.udp) }
      scene.client.username = "alice"
    },
    Row(.newPeers, .udp, { $0.realms[0].limits.newPeersPerUser = 3 }) { scene, _ in
      for host in 1...3 { scene.client.permit("8.8.9.\(host):1") }
      scene.client.permit("8.8.10.\(scene.conversation.nextTransaction % 200):1")
    },
    Row(.connects, .tcp, { $0.realms[0].limits.connectsPerUser = 3 }) { scene, _ in
      for _ in 1...4 {
        let port = scene.conversation.nextTransaction
        _ = scene.ask(.connect) { Scene.peer("8.8.8.8:\(port)", &$0) }
      }
    },
    Row(.permissions, .udp, { $0.realms[0].limits.permissionsPerAllocation = 1 }) { scene, _ in
      scene.client.permit("8.8.8.9:1")
    },
    Row(.channels, .udp, { $0.realms[0].limits.channelsPerAllocation = 1 }) { scene, _ in
      scene.client.bind(0x4000, "8.8.8.8:1")
      scene.client.bind(0x4001, "8.8.8.8:2")
    },
    Row(.peersInRequest) { scene, _ in
      _ = scene.ask(.createPermission) { for host in 0...256 { Scene.peer("8.8.\(host / 256).\(host % 256):1", &$0) } }
    },
    Row(.peerConnections, .tcp) { scene, _ in
      for port in 1...300 { _ = scene.ask(.connect) { Scene.peer("8.8.8.8:\(port)", &$0) } }
    },
    Row(.reservations) { scene, _ in
      for port in 1...20 {
        let client = TestClient(scene.conversation, "192.0.2.8:\(port)")
        client.allocate { $0.append(.evenPort, [UInt8(0x80)]) }
      }
    },
    Row(.bandwidth, .udp, { $0.realms[0].limits.bandwidthPerAllocation = .bytesPerSecond(100) }) { scene, relayed in
      for _ in 0..<20 { _ = scene.client.hear([UInt8](repeating: 1, count: 100), from: "8.8.8.8:1", on: relayed) }
      scene.conversation.runCommands()
    },
    Row(.userBandwidth, .udp, { $0.realms[0].limits.bandwidthPerUser = .bytesPerSecond(100) }) { scene, relayed in
      for _ in 0..<20 { _ = scene.client.hear([UInt8](repeating: 1, count: 100), from: "8.8.8.8:1", on: relayed) }
      scene.conversation.runCommands()
    },
    Row(.serverBandwidth, .udp, { $0.realms[0].limits.bandwidth = .bytesPerSecond(100) }) { scene, relayed in
      for _ in 0..<20 { _ = scene.client.hear([UInt8](repeating: 1, count: 100), from: "8.8.8.8:1", on: relayed) }
      scene.conversation.runCommands()
    },
    Row(.unfragmented) { scene, _ in
      for _ in 0..<150 {
        _ = scene.indication(.send) {
          Scene.peer("8.8.8.8:1", &$0)
          $0.append(.dontFragment, [UInt8]())
          $0.append(.data, [1])
        }
      }
    },
    Row(.icmp) { scene, _ in
      guard let port = scene.conversation.openPorts.keys.first else { return }
      for _ in 0..<15 {
        scene.conversation.relay.receiveICMP(
          type: 3, code: 1, mtu: 0, about: SocketAddress("8.8.8.8:1")!, on: port, now: scene.conversation.now)
        scene.conversation.runCommands()
      }
    },
  ]

  @Test("Each limit makes one event in ten seconds, with a client's address and the count", arguments: rows)
  func events(row: Row) throws {
    let scene = Scene(
      limit: row.limit == .strangers ? 100 : 0, total: row.limit == .strangersInAll ? 100 : 0,
      transport: row.transport, row.configure)
    let relayed = scene.client.allocate(row.transport == .tcp ? .tcp : .udp)?.relayedAddress ?? .none
    scene.client.permit("8.8.8.8:1")
    scene.conversation.events = []
    row.reach(scene, relayed)
    let first = try #require(scene.conversation.notices(row.limit).first)
    #expect([scene.client.path.address.address, IPAddress("192.0.2.8")!].contains(first.client))
    #expect(first.count == 1)
    for _ in 0..<5 {
      scene.conversation.tick(seconds: 1)
      row.reach(scene, relayed)
    }
    #expect(scene.conversation.notices(row.limit).count == 1)
    scene.conversation.tick(seconds: 6)
    row.reach(scene, relayed)
    let notices = scene.conversation.notices(row.limit)
    #expect(notices.count == 2)
    // A later notice counts the refusals since the last one.
    #expect(try #require(notices.last).count > 1)
  }

  @Test("Every limit of the relay has a row, except those that need two shards or another realm")
  func complete() {
    let tested = Set(Self.rows.map(\.limit))
    #expect(Set(RelayLimit.allCases).subtracting(tested) == [.handOvers, .siblings, .realmBandwidth])
  }

  @Test("Moved clients beyond a user's forwarding limit make an event, and other users still move")
  func handOvers() {
    let conversation = Conversation(shard: 0, shardCount: 2) { $0.policy.allowsMobility = true }
    func move(_ name: String, _ key: Digest, from address: String) {
      let ticket = conversation.relay.tickets.seal(
        MobilityTicket(
          shard: 1, allocation: Handle(index: 1, generation: 1), epoch: 0,
          user: MobilityTicket.tag(ofUser: Array(name.utf8))))
      let client = TestClient(conversation, address)
      client.username = name
      client.key = key
      client.challenge()
      _ = client.ask(client.request(.refresh) { $0.append(.mobilityTicket, ticket) })
    }
    for port in 1...(MovedClientTable.userLimit + 3) { move("alice", Conversation.key, from: "192.0.2.7:\(port)") }
    #expect(conversation.notices(.handOvers).count == 1)
    #expect(conversation.relay.moved.count == MovedClientTable.userLimit)
    move("bob", Conversation.otherKey, from: "192.0.2.8:1")
    #expect(conversation.relay.moved.count == MovedClientTable.userLimit + 1)
    // A client that sends nothing makes room.
    conversation.wait(seconds: 4000)
    #expect(conversation.relay.moved.count == 0)
    move("alice", Conversation.key, from: "192.0.2.7:1")
    #expect(conversation.relay.moved.count == 1)
  }

  @Test("A shard forwards 4,096 moved clients of all users")
  func allHandOvers() throws {
    var seeds = SeededGenerator(seed: [5])
    var moved = MovedClientTable(seeds: &seeds)
    let start = Instant(nanoseconds: 0)
    var timers = TimerWheel(now: start)
    for number in 0..<4096 {
      let user = UInt16(number % 100)
      let hasRoom = moved.hasRoom(for: user)
      #expect(hasRoom)
      let address = SocketAddress(IPAddress(ipv4: UInt32(number)), port: 1)
      let client = ClientPath(address: address, endpoint: EndpointID(rawValue: 0), transport: .udp)
      moved.insert(client, owner: 1, user: user, now: start, lifetime: .seconds(600), timers: &timers)
    }
    let hasRoom = moved.hasRoom(for: 500)
    #expect(!hasRoom)
  }

  @Test("Packets that another shard does not accept make an event")
  func siblings() throws {
    let (scene, _) = try Scene.allocated()
    let port = try #require(scene.conversation.openPorts.keys.first)
    for _ in 0..<100 { scene.conversation.relay.countDrop(.shardBusy, on: port, now: scene.conversation.now) }
    scene.conversation.runCommands()
    #expect(scene.conversation.notices(.siblings).map(\.client) == [scene.client.path.address.address])
  }

  @Test("A million dropped packets in a second make one event")
  func flood() {
    let conversation = Conversation(limit: 5)
    conversation.transcript.isKept = false
    let client = TestClient(conversation)
    let request = client.request(.binding, signs: false)
    for _ in 0..<1_000_000 {
      _ = conversation.relay.receive(request.span.rawBytes, from: client.path, now: conversation.now)
    }
    conversation.runCommands()
    #expect(conversation.events.count == 1)
    #expect(conversation.relay.counters.drops(.rateLimited) > 999_000)
  }
}
