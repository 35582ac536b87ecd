import Crypto
import NetworkTypes
import STUN
import Testing

@testable import TURN

extension Conversation {
  var failures: [AuthenticationFailure] {
    events.compactMap { if case .authenticationFailed(let failure) = $0 { failure } else { nil } }
  }
  var refusals: [PeerRefusal] { events.compactMap { if case .peerRefused(let refusal) = $0 { refusal } else { nil } } }
  func notices(_ limit: RelayLimit) -> [LimitNotice] {
    events.compactMap { if case .limitReached(limit, let notice) = $0 { notice } else { nil } }
  }
}

@Suite("Events for the log")
struct EventTests {
  func client(_ conversation: Conversation, _ username: String, password: String = "wrong") -> TestClient {
    let client = TestClient(conversation)
    client.username = username
    client.key = LongTermKey.md5(
      username: Array(username.utf8), realm: Array(Conversation.realm.utf8), password: Array(password.utf8))
    return client
  }

  struct Login: Sendable, CustomTestStringConvertible {
    var username: String
    var password = "wrong"
    var realm = Conversation.realm
    var reason: AuthenticationFailure.Reason?
    var testDescription: String { "\(username) \(password) \(realm)" }

    static func timeLimited(_ name: String, secret: String, _ reason: AuthenticationFailure.Reason?) -> Login {
      let password = TimeLimitedCredential.password(username: Array(name.utf8), secret: Array(secret.utf8))
      return Login(username: name, password: String(decoding: password, as: UTF8.self), reason: reason)
    }
  }

  @Test(
    "A failed login makes one event, with its reason",
    arguments: [
      Login(username: "alice", reason: .wrongPassword), Login(username: "mallory", reason: .unknownUser),
      Login(username: "alice", password: "secret"),
      Login(username: "alice", password: "secret", realm: "other", reason: .unknownUser),
      Login.timeLimited("1800000100:x", secret: "north", nil),
      Login.timeLimited("1800000100:x", secret: "south", .wrongPassword),
      Login.timeLimited("1700000000:x", secret: "north", .expired),
      Login.timeLimited("1700000000:x", secret: "south", .wrongPassword),
      Login(username: "", reason: .unknownUser),
      Login(username: String(repeating: "x", count: 800), reason: .unknownUser),
    ])
  func logins(login: Login) {
    let conversation = Conversation { $0.realms[0].secrets = [Array("north".utf8)] }
    let client = client(conversation, login.username, password: login.password)
    client.realm = login.realm
    let answer = client.allocate()
    #expect(answer?.code == (login.reason == nil ? nil : 401))
    #expect(conversation.failures.map(\.reason) == (login.reason.map { [$0] } ?? []))
    if login.reason != nil {
      #expect(conversation.failures[0].user == .name(Array(login.username.utf8.prefix(763))))
      #expect(conversation.failures[0].client == client.path.address)
      // Only the log has the reason: the client's answer has the usual length and no signature.
      #expect(answer?.bytes.count == 104 && answer?.isSigned == false)
    }
  }

  @Test("The event has the name behind a USERHASH if it is known, else the hash")
  func hashes() {
    for (hash, user) in [
      (ModernClient.userHash.array, UserReference.name(Array("alice".utf8))),
      ([UInt8](repeating: 7, count: 32), .hash([UInt8](repeating: 7, count: 32))),
    ] {
      let conversation = Conversation { $0.realms[0].userNames = [ModernClient.userHash.array: Array("alice".utf8)] }
      let client = ModernClient(conversation)
      let request = client.request(user: (.userHash, hash), integrity: .sha1, key: Conversation.otherKey)
      #expect(client.client.ask(request)?.code == 401)
      #expect(conversation.failures.map(\.user) == [user])
    }
  }

  @Test("For users of a store the event's reason comes from the store's answer")
  func store() throws {
    let conversation = Conversation {
      $0.realms[0].users = [:]
      $0.realms[0].hasStore = true
      $0.realms[0].secrets = [Array("north".utf8)]
    }
    for (name, isKnown, reason) in [
      ("carol", true, AuthenticationFailure.Reason.wrongPassword), ("dave", false, .unknownUser),
      ("1800000100:x", false, .wrongPassword),
    ] {
      let client = client(conversation, name)
      client.allocate()
      let ticket = try #require(conversation.lookUps.last).ticket
      let keys = isKnown ? CredentialKeys(md5: [Conversation.key]) : nil
      conversation.relay.keysFound(ticket, keys, now: conversation.now)
      conversation.runCommands()
      #expect(conversation.failures.last?.reason == reason)
    }
    #expect(conversation.failures.count == 3)
  }

  @Test("The events of access tokens name an unknown key, a wrong seal and an expired token")
  func tokens() {
    for (id, token, reason) in [
      ("east", AccessTokenTests.sealed(), AuthenticationFailure.Reason.unknownUser),
      ("north", AccessTokenTests.sealed(serverName: [1]), .wrongPassword),
      ("north", AccessTokenTests.sealed(made: AccessTokenTests.at(-5000)), .expired),
    ] {
      let conversation = AccessTokenTests.conversation()
      let client = AccessTokenTests.client(conversation, id: id)
      #expect(client.allocate { $0.append(.accessToken, token) }?.code == 401)
      #expect(conversation.failures.map(\.reason) == [reason])
    }
  }

  @Test("A first challenge, a stale nonce and a malformed request make no event")
  func ordinary() {
    let conversation = Conversation()
    let client = TestClient(conversation)
    client.challenge()
    #expect(client.allocate()?.code == nil)
    conversation.wait(seconds: 550)
    client.nonce[20] ^= 1
    #expect(client.refresh(600)?.code == 438)
    let modern = ModernClient(conversation, address: "192.0.2.9:1")
    #expect(modern.client.ask(modern.request(hasNonce: false, integrity: .sha1, key: Conversation.key))?.code == 400)
    #expect(conversation.failures.isEmpty)
  }

  @Test("A login makes an event only with a nonce of ours, which proves its source address")
  func spoofed() {
    for transport in TransportProtocol.allCases {
      let conversation = Conversation()
      let client = TestClient(conversation, transport: transport)
      client.key = Conversation.otherKey
      client.nonce = [UInt8](repeating: 65, count: NonceAuthority.byteCount)
      #expect(client.allocate()?.code == 438)
      #expect(conversation.failures.isEmpty)
      // A nonce made for another address reveals nothing either.
      let other = TestClient(conversation, "192.0.2.8:1")
      other.challenge()
      client.nonce = other.nonce
      #expect(client.allocate()?.code == 438)
      #expect(conversation.failures.isEmpty)
      client.challenge()
      #expect(client.allocate()?.code == 401)
      #expect(conversation.failures.count == 1)
    }
  }

  @Test("No event is made beyond a stranger's budget, and at most 256 a second for each shard")
  func bounded() {
    let limited = Conversation(limit: 10)
    let client = client(limited, "alice")
    for _ in 0..<1000 { client.allocate() }
    #expect(limited.failures.count < 10)
    #expect(limited.notices(.strangers).count == 1)
    let open = Conversation()
    // Ten failures per second are reported for each address.
    for host in 1...100 {
      let client = TestClient(open, "198.51.100.\(host):1")
      client.key = Conversation.otherKey
      for _ in 0..<10 { client.allocate() }
    }
    let second = self.client(open, "alice")
    #expect(open.failures.count == EventBudget.perSecond)
    open.tick(seconds: 1)
    second.allocate()
    #expect(open.failures.count == EventBudget.perSecond + 1)
    let (good, peer) = (TestClient(open, "192.0.2.8:1"), "10.0.0.1:1")
    open.tick(seconds: 1)
    good.allocate()
    for _ in 0..<1000 { good.permit(peer) }
    #expect(open.refusals.count == EventBudget.perSecond)
  }

  struct Peer: Sendable, CustomTestStringConvertible {
    var peer: String
    var rule: String
    var testDescription: String { peer }
  }

  @Test(
    "A refused peer makes an event with the rule that refuses it",
    arguments: [
      Peer(peer: "10.1.2.3:80", rule: "10.0.0.0/8"), Peer(peer: "127.0.0.1:80", rule: "127.0.0.0/8"),
      Peer(peer: "8.8.8.8:80", rule: "8.8.8.0/24"), Peer(peer: "9.9.9.9:1", rule: "9.9.9.9/32"),
      Peer(peer: "203.0.113.1:3478", rule: "no-live-relay"), Peer(peer: "203.0.113.9:3478", rule: "own-listener"),
      Peer(peer: "198.18.0.1:1", rule: "198.18.0.0/15"), Peer(peer: "93.184.216.34:1", rule: "own-address"),
      Peer(peer: "[fe80::1]:1", rule: "fe80::/10"), Peer(peer: "[4000::1]:1", rule: "4000::/2"),
      Peer(peer: "[2002::1]:1", rule: "2002::/16"), Peer(peer: "[2a00::5efe:a01:203]:1", rule: "10.0.0.0/8"),
      Peer(peer: "[::ffff:8.8.4.4]:1", rule: "ipv4-in-ipv6"),
    ])
  func peers(row: Peer) throws {
    let conversation = Conversation(
      allow: ["203.0.113.9"], deny: ["8.8.8.0/24", "9.9.9.9"], closed: ["0.0.0.0:3478"],
      own: [IPAddress("203.0.113.1")!, IPAddress("203.0.113.9")!, IPAddress("93.184.216.34")!])
    let client = TestClient(conversation)
    let peer = try #require(SocketAddress(row.peer))
    client.allocate { if peer.family == .ipv6 { $0.append(.requestedAddressFamily, UInt32(2) << 24) } }
    #expect(client.bind(0x4000, row.peer)?.code == 403)
    let refusal = try #require(conversation.refusals.first)
    #expect(refusal.rule.description == row.rule)
    #expect(refusal.peer == peer && refusal.client == client.path.address && refusal.user == Array("alice".utf8))
    // A permission has an address and no port.
    if client.permit(row.peer)?.code == 403 {
      #expect(conversation.refusals.last?.peer == SocketAddress(peer.address, port: 0))
      #expect(conversation.refusals.last?.rule == refusal.rule)
    }
  }

  @Test("A peer refused in Connect makes an event too")
  func connect() {
    let conversation = Conversation()
    let client = TestClient(conversation, transport: .tcp)
    client.allocate(.tcp)
    #expect(client.ask(client.request(.connect) { Scene.peer("10.0.0.1:80", &$0) })?.code == 403)
    #expect(conversation.refusals.map(\.rule.description) == ["10.0.0.0/8"])
  }

  @Test("An allocation makes events when it opens and closes, with its byte counts, and packets make none")
  func allocations() throws {
    let conversation = Conversation()
    let client = TestClient(conversation)
    let answer = client.allocate { $0.append(.additionalAddressFamily, UInt32(2) << 24) }
    client.bind(0x4000, "8.8.8.8:1")
    for _ in 0..<100 { _ = client.channelData(0x4000, [1, 2, 3]) }
    _ = client.hear([1, 2], from: "8.8.8.8:1", on: try #require(answer?.relayedAddress))
    conversation.wait(seconds: 7)
    client.refresh(0)
    guard conversation.events.count == 2, case .allocationOpened(let opened) = conversation.events[0],
      case .allocationClosed(let closed, .deleted) = conversation.events[1]
    else {
      Issue.record("\(conversation.events)")
      return
    }
    #expect([opened.relayed, opened.secondRelayed].compactMap { $0 } == answer?.relayedAddresses)
    #expect(closed.relayed == opened.relayed && closed.secondRelayed == opened.secondRelayed)
    #expect(closed.age == .seconds(7) && closed.toPeers.packets == 100 && closed.toPeers.bytes == 300)
    #expect(closed.toClient.packets == 1 && closed.toClient.bytes == 2)
    #expect(closed.username == Array("alice".utf8) && closed.client == client.path.address)
    #expect(closed.transport == .udp && closed.relayTransport == .udp)
  }
}
