import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

extension StrangerTests {
  @Test("After ten wrong passwords a second a client gets no answer, but others at its address do, new ones too")
  func wrongPasswords() throws {
    let conversation = Conversation()
    let good = TestClient(conversation, "192.0.2.7:5001")
    good.allocate()
    let attacker = TestClient(conversation)
    attacker.key = Conversation.otherKey
    let codes = (0..<30).compactMap { _ in attacker.allocate()?.code }
    #expect(codes == [UInt16](repeating: 401, count: 10))
    #expect(conversation.notices(.failures).map(\.client) == [attacker.path.address.address])
    #expect(conversation.relay.counters.drops(.tooManyFailures) == 20)
    // The right password gets no answer either, because the relay does not check it.
    attacker.key = Conversation.key
    #expect(attacker.allocate() == nil)
    #expect(good.refresh(600)?.lifetime == 600)
    let neighbour = TestClient(conversation, "192.0.2.7:5002")
    #expect(neighbour.allocate()?.relayedAddress != nil)
    conversation.wait(seconds: 1)
    #expect(attacker.allocate()?.relayedAddress != nil)
  }

  @Test("After fifty wrong passwords a second from many ports an address gets no answer, except for live allocations")
  func wrongPasswordsOfAddress() throws {
    let conversation = Conversation()
    let good = TestClient(conversation, "192.0.2.7:5001")
    good.allocate()
    var refusals = 0
    for port in 6001...6010 {
      let attacker = TestClient(conversation, "192.0.2.7:\(port)")
      attacker.key = Conversation.otherKey
      refusals += (0..<10).count { _ in attacker.allocate()?.code == 401 }
    }
    #expect(refusals == 50)
    let neighbour = TestClient(conversation, "192.0.2.7:5002")
    #expect(neighbour.allocate() == nil)
    #expect(good.refresh(600)?.lifetime == 600)
    let other = TestClient(conversation, "192.0.2.8:5002")
    #expect(other.allocate()?.relayedAddress != nil)
    conversation.wait(seconds: 1)
    #expect(neighbour.allocate()?.relayedAddress != nil)
  }

  @Test("Failures from an address that has not proved itself with a nonce are not counted")
  func forgedFailures() {
    let conversation = Conversation()
    let forger = TestClient(conversation)
    for nonce in [Self.madeUp, [1]] {
      forger.nonce = nonce
      forger.key = Conversation.otherKey
      for _ in 0..<30 { forger.allocate() }
    }
    forger.realm = "elsewhere"
    for _ in 0..<30 { forger.allocate() }
    let client = TestClient(conversation, "192.0.2.7:5001")
    #expect(client.allocate()?.relayedAddress != nil)
  }

  @Test("A static user's wrong password is looked up in the store, whose password for the name is refused")
  func staticUserWithStore() throws {
    let conversation = Conversation { $0.realms[0].hasStore = true }
    let client = TestClient(conversation)
    client.key = Conversation.otherKey
    client.allocate()
    let ticket = try #require(conversation.lookUps.first).ticket
    conversation.relay.keysFound(ticket, CredentialKeys(md5: [Conversation.otherKey]), now: conversation.now)
    conversation.runCommands()
    #expect(client.read(try #require(conversation.lateReplies.last).1)?.code == 401)
    #expect(conversation.failures.map(\.reason) == [.wrongPassword])
    client.key = Conversation.key
    #expect(client.allocate()?.relayedAddress != nil)
    #expect(conversation.lookUps.count == 1)
  }

  @Test("The keys of a time-limited name are cached until a reload removes their secret")
  func timeLimitedKeys() {
    let secret = Array("s".utf8)
    let conversation = Conversation { $0.realms[0].secrets = [secret] }
    func client(_ port: Int) -> TestClient {
      let client = TestClient(conversation, "192.0.2.7:\(port)")
      client.username = "1800000100:carol"
      let name = Array(client.username.utf8)
      client.key = LongTermKey.md5(
        username: name, realm: Array(Conversation.realm.utf8),
        password: TimeLimitedCredential.password(username: name, secret: secret))
      return client
    }
    let name = Array("1800000100:carol".utf8)
    let wrong = client(1)
    wrong.key = Conversation.otherKey
    #expect(wrong.allocate()?.code == 401)
    #expect(conversation.relay.timeLimitedKeys.find(name, realm: .default) == nil)
    #expect(client(2).allocate()?.relayedAddress != nil)
    #expect(conversation.relay.timeLimitedKeys.find(name, realm: .default) != nil)
    #expect(wrong.allocate()?.code == 401)
    #expect(client(3).allocate()?.relayedAddress != nil)
    conversation.change { $0.realms[0].secrets = [Array("t".utf8)] }
    #expect(client(4).allocate()?.code == 401)
  }

  @Test("The cache of time-limited keys is emptied beyond 1,024 names of a realm")
  func timeLimitedKeysBounded() {
    var keys = TimeLimitedKeys()
    for number in UInt8(0)...1 {
      for name in 0..<1500 {
        keys.remember(Array("\(name)".utf8), realm: RealmID(rawValue: number), CredentialKeys(md5: []))
      }
    }
    #expect(keys.find(Array("1499".utf8), realm: .default) != nil)
    #expect(keys.find(Array("0".utf8), realm: .default) == nil)
    keys.forgetAll()
    #expect(keys.find(Array("1499".utf8), realm: .default) == nil)
  }
}

extension StrangerTests {
  @Test("500 forged Bindings a second from a client's address do not use up the answers to its Allocates")
  func forgedBindings() {
    let conversation = Conversation(limit: 100)
    conversation.transcript.isKept = false
    let forger = TestClient(conversation, "192.0.2.7:9")
    let binding = forger.request(.binding, signs: false)
    for second in 0..<5 {
      for _ in 0..<500 { _ = forger.send(binding) }
      for port in 0..<10 {
        let client = TestClient(conversation, "192.0.2.7:\(5000 + second * 10 + port)")
        #expect(client.allocate()?.relayedAddress != nil)
      }
      conversation.tick(seconds: 1)
    }
  }

  @Test("After forged Allocates use up an address's challenges, other ports of it still get theirs")
  func forgedAllocates() {
    let conversation = Conversation(limit: 100)
    conversation.transcript.isKept = false
    let forger = TestClient(conversation, "192.0.2.7:9")
    let answers = (0..<500).compactMap { _ in forger.challenge() }
    // The budget of one second for the address, and that of the port's group.
    #expect(answers.count == 104)
    let begun = (1...20).count { TestClient(conversation, "192.0.2.7:\(50_000 + $0 * 97)").allocate() != nil }
    #expect(begun >= 18)
    // All ports together have a limit too.
    let more = (1...60_000).count { TestClient(conversation, "192.0.2.7:\($0)").challenge() != nil }
    #expect((30...128).contains(more))
  }

  @Test("Answers to all strangers have one limit, with the last quarter for challenges; then silence and one notice")
  func total() {
    let conversation = Conversation(limit: 100, total: 1000)
    conversation.transcript.isKept = false
    let clients = (0..<2000).map { TestClient(conversation, "198.51.\($0 / 250).\($0 % 250 + 1):1") }
    let own = clients[0]
    own.allocate()
    let answered = clients.count { $0.ask($0.request(.binding, signs: false)) != nil }
    #expect(answered == 749)
    // New calls go on although there are too many Bindings.
    let challenged = clients.count { $0.challenge() != nil }
    #expect(challenged == 250)
    #expect(conversation.notices(.strangersInAll).count == 1)
    // A live allocation stays usable.
    #expect(own.refresh(600)?.lifetime == 600)
    conversation.tick(seconds: 1)
    #expect(clients[1900].challenge() != nil)
  }

  @Test("A quarter of the waiting requests is kept for live allocations and verified passwords")
  func waitingRoom() {
    let conversation = Conversation {
      $0.realms[0].hasStore = true
      $0.waitingRequests = 8
    }
    let owner = TestClient(conversation, "192.0.2.99:1")
    owner.allocate()
    for host in 1...10 {
      let client = TestClient(conversation, "192.0.2.\(host):1")
      client.username = "someone"
      client.allocate()
    }
    #expect(conversation.lookUps.count == 6)
    // The client has another password now, so the relay must ask the store.
    owner.key = Conversation.otherKey
    owner.refresh(600)
    #expect(conversation.lookUps.count == 7)
    let known = TestClient(conversation, "192.0.2.98:1")
    #expect(known.allocate()?.relayedAddress != nil)
  }

  @Test("Memory is charged up to the limit, and released memory can be charged again")
  func memory() {
    let memory = StrangersMemory(limit: .bytes(100))
    #expect(memory.charge(60) && memory.charge(40) && !memory.charge(1) && memory.byteCount == 100)
    memory.release(40)
    #expect(!memory.charge(41) && memory.charge(40))
    let unlimited = StrangersMemory(limit: .zero)
    #expect(unlimited.charge(1 << 40))
  }

  @Test("A waiting request of a client that has proven nothing is charged to strangers' memory until it is answered")
  func waitingMemory() {
    let memory = StrangersMemory(limit: .bytes(UInt64(PendingRequest.overhead + 300)))
    let conversation = Conversation(strangersMemory: memory) { $0.realms[0].hasStore = true }
    let owner = TestClient(conversation, "192.0.2.99:1")
    owner.allocate()
    let first = TestClient(conversation, "192.0.2.1:1")
    first.username = "someone"
    first.allocate()
    #expect(conversation.lookUps.count == 1 && memory.byteCount > PendingRequest.overhead + 100)
    // The memory has no room for a second request; the owner of a live allocation is not charged.
    let second = TestClient(conversation, "192.0.2.2:1")
    second.username = "someone"
    second.allocate()
    #expect(conversation.lookUps.count == 1)
    let charged = memory.byteCount
    owner.key = Conversation.otherKey
    owner.refresh(600)
    #expect(conversation.lookUps.count == 2 && memory.byteCount == charged)
    conversation.relay.lookUpRefused(conversation.lookUps[0].ticket)
    #expect(memory.byteCount == 0)
    second.allocate()
    #expect(conversation.lookUps.count == 3 && memory.byteCount > 0)
  }

  @Test("A request longer than 4,096 bytes does not wait for a store")
  func longWaiting() {
    let conversation = Conversation { $0.realms[0].hasStore = true }
    let client = TestClient(conversation, "192.0.2.1:1")
    client.username = "someone"
    let comment = [UInt8](repeating: 0, count: PendingRequest.longest)
    #expect(client.allocate(.udp, { $0.append(AttributeType(rawValue: 0x8099), comment) }) == nil)
    #expect(conversation.lookUps.isEmpty)
  }
}

extension StrangerTests {
  @Test("A user names a limited number of new peers a minute over all shards, and refreshes do not count")
  func newPeers() {
    let users = UserRateLimiter(seed: (5, 6))
    func conversation(_ shard: Int) -> Conversation {
      Conversation(shard: shard, shardCount: 2, users: users) { $0.realms[0].limits.newPeersPerUser = 5 }
    }
    let (first, second) = (conversation(0), conversation(1))
    let client = TestClient(first)
    client.allocate()
    #expect(client.permit("8.8.8.1:1", "8.8.8.2:1", "8.8.8.3:1")?.code == nil)
    #expect(client.bind(0x4000, "8.8.8.4:1")?.code == nil)
    for _ in 0..<10 { #expect(client.permit("8.8.8.1:1", "8.8.8.4:1")?.code == nil) }
    // The user's limit holds on another shard too, and a request with one peer too many is refused as a whole.
    let other = TestClient(second, "192.0.2.8:1")
    other.allocate()
    #expect(other.permit("8.8.8.1:1", "8.8.8.2:1")?.code == 508)
    #expect(other.permit("8.8.8.1:1")?.code == nil)
    #expect(other.bind(0x4000, "8.8.8.9:1")?.code == 508)
    client.refresh(0)
    client.allocate()
    #expect(client.permit("8.8.8.1:1")?.code == 508)
    // Another user has another budget.
    let bob = TestClient(second, "192.0.2.8:2")
    (bob.username, bob.key) = ("bob", Conversation.otherKey)
    bob.allocate()
    #expect(bob.permit("8.8.8.1:1")?.code == nil)
    first.wait(seconds: 12)
    #expect(client.permit("8.8.8.1:1")?.code == nil)
    #expect(client.permit("8.8.8.2:1")?.code == 508)
  }
}
