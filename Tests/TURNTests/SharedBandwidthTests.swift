import NetworkTypes
import TestSupport
import Testing

@testable import TURN

/// Limits that allocations of a user, a realm or the server share.
@Suite("limits.bandwidth-per-user and limits.bandwidth")
struct SharedBandwidthTests {
  static let video = [UInt8](repeating: 7, count: 1000)
  static let audio = [UInt8](repeating: 7, count: 200)

  /// A client with an allocation and a channel to the common peer.
  static func client(_ conversation: Conversation, _ address: String, realm: Bool = false) -> TestClient {
    let client = realm ? RealmTests.client(conversation, address) : TestClient(conversation, address)
    client.allocate()
    client.bind(0x4001, "8.8.8.8:7000")
    return client
  }

  /// The number of `count` datagrams that pass. All datagrams that do not pass must be dropped for this cause.
  func pass(
    _ count: Int, _ bytes: [UInt8], from client: TestClient, else cause: DropCause,
    _ location: SourceLocation = #_sourceLocation
  ) -> Int {
    var passed = 0
    for _ in 0..<count {
      let disposition = client.channelData(0x4001, bytes)
      if let drop = disposition.drop {
        #expect(drop == cause, sourceLocation: location)
      } else {
        passed += 1
      }
    }
    return passed
  }

  @Test("All allocations of a user share one rate in each direction, and other users have their own")
  func users() throws {
    let conversation = Conversation { $0.realms[0].limits.bandwidthPerUser = .bytesPerSecond(100_000) }
    let first = TestClient(conversation, "192.0.2.7:1")
    let relayed = try #require(first.allocate()?.relayedAddress)
    first.bind(0x4001, "8.8.8.8:7000")
    let second = Self.client(conversation, "192.0.2.8:1")
    // Video gets three quarters of the bytes of one second: the last quarter is for audio.
    let both =
      pass(60, Self.video, from: first, else: .overUserBandwidth)
      + pass(60, Self.video, from: second, else: .overUserBandwidth)
    #expect((75...77).contains(both))
    #expect(first.hear(Self.video, from: "8.8.8.8:7000", on: relayed).drop == nil)
    let other = TestClient(conversation, "192.0.2.9:1")
    other.username = "bob"
    other.key = Conversation.otherKey
    other.allocate()
    other.bind(0x4001, "8.8.8.8:7000")
    #expect((75...77).contains(pass(120, Self.video, from: other, else: .overUserBandwidth)))
    conversation.tick(seconds: 1)
    let later =
      pass(120, Self.video, from: first, else: .overUserBandwidth)
      + pass(120, Self.video, from: second, else: .overUserBandwidth)
    #expect((75...101).contains(later))
  }

  @Test("A rate in the user's keys applies to this user, in place of the realm's rate per user")
  func ownRate() throws {
    for ofRealm in [0, 20_000, 10_000_000] as [UInt64] {
      let conversation = Conversation {
        $0.realms[0].users = [
          Array("alice".utf8): CredentialKeys(md5: [Conversation.key], bandwidth: .bytesPerSecond(100_000)),
          Array("bob".utf8): CredentialKeys(md5: [Conversation.otherKey]),
        ]
        $0.realms[0].limits.bandwidthPerUser = .bytesPerSecond(ofRealm)
      }
      let first = Self.client(conversation, "192.0.2.7:1")
      let passed = pass(60, Self.video, from: first, else: .overUserBandwidth)
      // A new configuration does not change the user's rate.
      conversation.change { $0.policy.software = "" }
      let both = passed + pass(60, Self.video, from: first, else: .overUserBandwidth)
      #expect((75...79).contains(both), "\(ofRealm): \(both)")
      // Both allocations share the user's rate.
      let second = Self.client(conversation, "192.0.2.8:1")
      #expect(pass(10, Self.video, from: second, else: .overUserBandwidth) <= 1)
      let other = TestClient(conversation, "192.0.2.9:1")
      other.username = "bob"
      other.key = Conversation.otherKey
      other.allocate()
      other.bind(0x4001, "8.8.8.8:7000")
      let free = pass(100, Self.video, from: other, else: .overUserBandwidth)
      #expect(ofRealm == 20_000 ? (10...20).contains(free) : free == 100, "\(ofRealm): \(free)")
    }
  }

  @Test("Small datagrams pass after larger ones are dropped, up to the whole rate")
  func audioLast() {
    for (cause, configure) in [
      (
        DropCause.overUserBandwidth,
        { (realm: inout RealmSettings) in realm.limits.bandwidthPerUser = .bytesPerSecond(100_000) }
      ),
      (
        DropCause.overServerBandwidth,
        { (realm: inout RealmSettings) in realm.limits.bandwidth = .bytesPerSecond(100_000) }
      ),
    ] {
      let conversation = Conversation { configure(&$0.realms[0]) }
      let client = Self.client(conversation, "192.0.2.7:1")
      #expect((75...77).contains(pass(200, Self.video, from: client, else: cause)))
      let audio = pass(1000, Self.audio, from: client, else: cause)
      #expect((115...127).contains(audio), "a quarter of the rate: \(audio)")
    }
  }

  /// Sends traffic for `seconds` in steps of 10 ms.
  ///
  /// - Parameter rates: datagrams per second for each client.
  /// - Returns: the bytes of each client that passed in the second half of the time.
  func run(_ conversation: Conversation, _ clients: [TestClient], _ rates: [Int], seconds: Int) -> [Int] {
    var passed = clients.map { _ in 0 }
    for step in 0..<(seconds * 100) {
      conversation.tick(milliseconds: 10)
      for (index, client) in clients.enumerated() {
        for _ in 0..<(rates[index] / 100) where client.channelData(0x4001, Self.video).drop == nil {
          if step >= seconds * 50 { passed[index] += Self.video.count }
        }
      }
    }
    return passed
  }

  @Test("The server's rate is reached, and an allocation below its fair share loses nothing", .tags(.slow))
  func fair() {
    let conversation = Conversation { $0.realms[0].limits.bandwidth = .bytesPerSecond(1_000_000) }
    let clients = (1...4).map { Self.client(conversation, "192.0.2.\($0):1") }
    // 100, 500, 2,000 and 4,000 KB/s: the fair share is 400 KB/s for the two largest ones, or less for three.
    let rates = [100, 500, 2000, 4000]
    let seconds = 20
    let bytes = run(conversation, clients, rates, seconds: seconds).map { $0 / (seconds / 2) }
    #expect(bytes[0] == 100_000, "\(bytes)")
    #expect((900_000...1_010_000).contains(bytes.reduce(0, +)), "\(bytes)")
    #expect(Double(bytes[3]) / Double(bytes[2]) < 1.25, "\(bytes)")
    #expect(Double(bytes[3]) / Double(bytes[1]) < 1.25, "\(bytes)")
  }

  @Test("Shards share a rate, and a shard's share rises after the others stop", .tags(.slow))
  func shards() {
    let pools = BandwidthPools(seed: (5, 6))
    let conversations = (0..<2).map { shard in
      Conversation(shard: shard, shardCount: 2, bandwidth: pools) {
        $0.realms[0].limits.bandwidth = .bytesPerSecond(1_000_000)
      }
    }
    let clients = conversations.map { Self.client($0, "192.0.2.7:1") }
    var passed = [0, 0]
    var alone = 0
    for step in 0..<3000 {
      for (index, client) in clients.enumerated() where index == 0 || step < 2000 {
        conversations[index].tick(milliseconds: 10)
        for _ in 0..<20 where client.channelData(0x4001, Self.video).drop == nil {
          if (1000..<2000).contains(step) { passed[index] += 1000 }
          if step >= 2500, index == 0 { alone += 1000 }
        }
      }
      if step >= 2000 { conversations[1].tick(milliseconds: 10) }
    }
    #expect((9_000_000...10_100_000).contains(passed[0] + passed[1]), "\(passed)")
    #expect(Double(passed.max() ?? 0) / Double(max(passed.min() ?? 0, 1)) < 1.5, "\(passed)")
    #expect(alone > 4_500_000, "\(alone)")
  }

  @Test("A realm has its own rate beside the server's, and its own key in the log line")
  func realms() throws {
    let conversation = RealmTests.conversation()
    conversation.change {
      $0.realms[1].limits.bandwidthPerAllocation = .unlimited
      $0.realms[1].limits.bandwidth = .bytesPerSecond(10_000)
      $0.realms[0].limits.bandwidth = .bytesPerSecond(100_000)
    }
    let there = Self.client(conversation, "192.0.2.7:1", realm: true)
    let here = Self.client(conversation, "192.0.2.8:1")
    #expect((7...9).contains(pass(100, Self.video, from: there, else: .overRealmBandwidth)))
    #expect((66...77).contains(pass(200, Self.video, from: here, else: .overServerBandwidth)))
    conversation.runCommands()
    let notice = try #require(conversation.notices(.realmBandwidth).first)
    #expect(notice.realm == RealmID(rawValue: 1))
    // Packets that exceed the server's rate are reported with the server's key, for every realm.
    conversation.change { $0.realms[1].limits.bandwidth = .unlimited }
    #expect(pass(1, Self.video, from: there, else: .overServerBandwidth) == 0)
    // A reload removes both limits.
    conversation.change { $0.realms[0].limits.bandwidth = .unlimited }
    #expect(pass(500, Self.video, from: there, else: .overRealmBandwidth) == 500)
  }

  @Test("Pipes wait for the user's rate and the server's", arguments: [true, false])
  func pipes(ofUser: Bool) throws {
    let conversation = Conversation {
      if ofUser {
        $0.realms[0].limits.bandwidthPerUser = .bytesPerSecond(100_000)
      } else {
        $0.realms[0].limits.bandwidth = .bytesPerSecond(100_000)
      }
    }
    let (client, _) = try TCPRelayTests().allocated(conversation)
    let (id, _) = try TCPRelayTests().connected(conversation, client)
    #expect(conversation.relay.pipeCarried(60_000, id, toPeer: true, now: conversation.now) == .zero)
    #expect(conversation.relay.pipeCarried(60_000, id, toPeer: false, now: conversation.now) == .zero)
    let pause = conversation.relay.pipeCarried(90_000, id, toPeer: true, now: conversation.now)
    #expect((Duration.milliseconds(490)...(.milliseconds(510))).contains(pause))
    conversation.tick(seconds: 2)
    #expect(conversation.relay.pipeCarried(60_000, id, toPeer: true, now: conversation.now) == .zero)
  }

  @Test("A pipe keeps a rate at which one read takes many seconds", arguments: [true, false])
  func slowPipe(ofUser: Bool) throws {
    let conversation = Conversation {
      if ofUser {
        $0.realms[0].limits.bandwidthPerUser = .bytesPerSecond(2000)
      } else {
        $0.realms[0].limits.bandwidth = .bytesPerSecond(2000)
      }
    }
    let (client, _) = try TCPRelayTests().allocated(conversation)
    let (id, _) = try TCPRelayTests().connected(conversation, client)
    var seconds: UInt32 = 0
    for _ in 0..<5 {
      // These are the bytes of 10 seconds at the limit.
      let pause = conversation.relay.pipeCarried(20_000, id, toPeer: true, now: conversation.now)
      seconds += pause.wholeSeconds
      conversation.tick(milliseconds: Int(pause / .milliseconds(1)))
    }
    // Up to the bytes of one second pass at once; a fair share of the server's rate is up to a quarter below it.
    #expect((45...(ofUser ? 52 : 65)).contains(seconds), "\(seconds)")
  }

  @Test("Datagrams larger than a second's worth of a slow rate pass from time to time")
  func slowRate() {
    let conversation = Conversation { $0.realms[0].limits.bandwidthPerUser = .bytesPerSecond(900) }
    let client = Self.client(conversation, "192.0.2.7:1")
    var passed = 0
    for _ in 0..<60 {
      conversation.tick(seconds: 1)
      passed += pass(3, Self.video, from: client, else: .overUserBandwidth)
    }
    #expect((40...60).contains(passed))
  }

  @Test("Packets are checked against limits while the user of an allocation has a rate of its own")
  func ownLimitEnds() throws {
    let conversation = Conversation {
      $0.realms[0].users[Array("alice".utf8)]?.bandwidth = .bytesPerSecond(100_000)
    }
    #expect(!conversation.relay.bandwidth.isLimited)
    let clients = [Self.client(conversation, "192.0.2.7:1"), Self.client(conversation, "192.0.2.8:1")]
    conversation.change { $0.policy.software = "" }
    #expect(conversation.relay.bandwidth.isLimited)
    _ = clients[0].refresh(0)
    #expect(conversation.relay.bandwidth.isLimited)
    conversation.wait(seconds: 601)
    #expect(conversation.relay.allocationCount == 0 && !conversation.relay.bandwidth.isLimited)
  }
}
