import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("RFC 6062, 4.3: the control connection's nonce on a data connection")
struct TCPRelayNonceTests {
  let base = TCPRelayTests()

  /// A data connection that has never got a nonce and uses that of `control`.
  func dataConnection(_ conversation: Conversation, like control: TestClient, port: UInt16 = 5001) -> TestClient {
    let client = TestClient(
      conversation, "192.0.2.7:\(port)", transport: control.path.transport, connection: UInt32(port))
    client.nonce = control.nonce
    client.username = control.username
    client.key = control.key
    return client
  }

  func allocated(_ conversation: Conversation, _ transport: TransportProtocol = .tcp) throws -> TestClient {
    let client = TestClient(conversation, transport: transport)
    _ = try #require(client.allocate(.tcp)?.relayedAddress)
    return client
  }

  @Test(
    "The nonce is valid for the CONNECTION-IDs of its allocation, over TCP and TLS",
    arguments: [TransportProtocol.tcp, .tls])
  func good(transport: TransportProtocol) throws {
    let conversation = Conversation()
    let control = try allocated(conversation, transport)
    let (id, identifier) = try base.connected(conversation, control)
    let answer = base.bind(dataConnection(conversation, like: control), identifier)
    #expect(answer?.type == MessageType(.connectionBind, .success))
    #expect(conversation.boundPipes.map(\.id) == [id])
  }

  @Test("The nonce is invalid for other methods, other CONNECTION-IDs and other allocations of the user")
  func elsewhere() throws {
    let conversation = Conversation()
    let control = try allocated(conversation)
    let (_, identifier) = try base.connected(conversation, control)
    let second = TestClient(conversation, "192.0.2.7:6000", transport: .tcp, connection: 60)
    _ = try #require(second.allocate(.tcp)?.relayedAddress)
    let (_, foreign) = try base.connected(conversation, second, "8.8.4.4:80")
    let data = dataConnection(conversation, like: control)
    #expect(base.bind(data, foreign)?.code == 438)
    #expect(base.bind(data, identifier &+ 1)?.code == 438)
    #expect(base.bind(data, nil)?.code == 438)
    #expect(data.ask(data.request(.allocate) { $0.append(.requestedTransport, UInt32(6) << 24) })?.code == 438)
    #expect(data.ask(data.request(.refresh) { $0.append(.connectionID, identifier) })?.code == 438)
    #expect(data.ask(data.request(.connect) { $0.append(.connectionID, identifier) })?.code == 438)
    // ConnectionBind over datagrams fails.
    let datagrams = TestClient(conversation, "192.0.2.7:5002")
    datagrams.nonce = control.nonce
    #expect(base.bind(datagrams, identifier)?.code == 438)
    #expect(conversation.boundPipes.isEmpty)
    #expect(base.bind(data, identifier)?.code == nil)
  }

  @Test("Without credentials right and wrong CONNECTION-IDs get the same answer")
  func guessing() throws {
    let conversation = Conversation()
    let control = try allocated(conversation)
    let (_, identifier) = try base.connected(conversation, control)
    func shape(_ stranger: TestClient, _ identifier: UInt32) -> [UInt8]? {
      stranger.ask(stranger.request(.connectionBind, transaction: 77) { $0.append(.connectionID, identifier) })?.bytes
    }
    // A stranger has no password, and uses the nonce of the control connection, then its own.
    for (nonce, code) in [(control.nonce, 438), (base.dataConnection(conversation, "192.0.2.99:1").nonce, 401)] {
      let stranger = TestClient(conversation, "192.0.2.99:1", transport: .tcp, connection: 9)
      stranger.nonce = nonce
      stranger.key = Conversation.otherKey
      #expect(try #require(stranger.read(shape(stranger, identifier) ?? [])).code == UInt16(code))
      #expect(shape(stranger, identifier) == shape(stranger, identifier ^ 1))
    }
    // Another user has the nonce of its own allocation.
    let other = TestClient(conversation, "192.0.2.99:2", transport: .tcp, connection: 10)
    (other.username, other.key) = ("bob", Conversation.otherKey)
    other.allocate(.tcp)
    let data = dataConnection(conversation, like: other, port: 5003)
    #expect(try #require(data.read(shape(data, identifier) ?? [])).code == 438)
    #expect(shape(data, identifier) == shape(data, identifier ^ 1))
    #expect(conversation.boundPipes.isEmpty)
  }

  @Test("An expired nonce gives 438 with a nonce that is valid on both connections")
  func stale() throws {
    let conversation = Conversation { $0.policy.nonceLifetime = .seconds(5) }
    let control = try allocated(conversation)
    let (_, identifier) = try base.connected(conversation, control)
    conversation.wait(seconds: 6)
    let data = dataConnection(conversation, like: control)
    let answer = base.bind(data, identifier)
    #expect(answer?.code == 438)
    (data.nonce, control.nonce) = (answer?.nonce ?? [], answer?.nonce ?? [])
    #expect(control.refresh(600)?.code == nil)
    #expect(base.bind(data, identifier)?.code == nil)
  }

  @Test("Pipelined requests with a stale nonce get the same new nonce, also in a later second")
  func pipelined() throws {
    let conversation = Conversation { $0.policy.nonceLifetime = .seconds(60) }
    let control = try allocated(conversation)
    let (_, identifier) = try base.connected(conversation, control)
    conversation.wait(seconds: 20)
    let data = dataConnection(conversation, like: control)
    for client in [control, data] { client.nonce = [UInt8](repeating: 65, count: NonceAuthority.byteCount) }
    var nonces: [[UInt8]?] = []
    for port in 1...5 {
      nonces.append(base.connect(control, "8.8.4.4:\(port)")?.nonce)
      nonces.append(base.bind(data, identifier)?.nonce)
      nonces.append(control.refresh(600)?.nonce)
      conversation.tick(seconds: 2)
    }
    #expect(nonces.count == 15)
    #expect(Set(nonces).count == 1)
    control.nonce = try #require(nonces[0])
    #expect(control.refresh(600)?.code == nil)
    // A nonce that the server sends is valid for at least half of its lifetime.
    conversation.tick(seconds: 25)
    control.nonce = [UInt8](repeating: 65, count: NonceAuthority.byteCount)
    #expect(control.refresh(600)?.nonce != nonces[0])
  }

  @Test("The connection moves once to its allocation's shard, where the nonce is valid")
  func otherShard() throws {
    let first = Conversation(shard: 0, shardCount: 2)
    let second = Conversation(shard: 1, shardCount: 2, relayed: first.relayed)
    let control = try allocated(second)
    let (id, identifier) = try base.connected(second, control)
    let data = dataConnection(first, like: control)
    #expect(base.bind(data, identifier) == nil)
    #expect(first.moves.map(\.shard) == [1])
    let there = dataConnection(second, like: control)
    #expect(there.read(try answer(there, first.moves[0].bytes))?.type == MessageType(.connectionBind, .success))
    #expect(second.boundPipes.map(\.id) == [id])
    // With a wrong identifier or a wrong key the connection moves once, and gets 438 with a new nonce.
    #expect(base.bind(data, identifier &+ 2) == nil)
    #expect(there.read(try answer(there, first.moves[1].bytes))?.code == 438)
    let (_, another) = try base.connected(second, control, "8.8.4.4:82")
    data.key = Conversation.otherKey
    #expect(base.bind(data, another) == nil)
    #expect(there.read(try answer(there, first.moves[2].bytes))?.code == 438)
    #expect(second.moves.isEmpty)
    #expect(second.boundPipes.count == 1)
  }

  @Test("Each move to another shard counts against the stranger's budget")
  func movesAreBounded() throws {
    let conversation = Conversation(limit: 5, shard: 0, shardCount: 2)
    let client = TestClient(conversation, transport: .tcp)
    client.nonce = [UInt8](repeating: 65, count: NonceAuthority.byteCount)
    for identifier in 0..<20 { #expect(base.bind(client, UInt32(identifier) * 2 + 1) == nil) }
    #expect(conversation.moves.count == 5)
  }

  private func answer(_ client: TestClient, _ bytes: [UInt8]) throws -> [UInt8] {
    let disposition = client.send(bytes)
    guard case .reply = disposition else { return [] }
    return client.conversation.relay.copiedReply()
  }

  @Test("A user of the store binds with this nonce too, without a further look-up")
  func fromStore() throws {
    let conversation = Conversation {
      $0.realms[0].hasStore = true
      $0.realms[0].users = [:]
    }
    func answered(_ client: TestClient, _ bytes: [UInt8]) -> Answer? {
      #expect(client.ask(bytes) == nil)
      guard let lookUp = conversation.lookUps.popLast() else { return nil }
      let before = conversation.lateReplies.count
      conversation.relay.keysFound(lookUp.ticket, CredentialKeys(md5: [Conversation.key]), now: conversation.now)
      conversation.runCommands()
      return conversation.lateReplies.count > before ? client.read(conversation.lateReplies[before].1) : nil
    }
    let control = TestClient(conversation, transport: .tcp)
    control.challenge()
    let allocate = control.request(.allocate) { $0.append(.requestedTransport, UInt32(6) << 24) }
    _ = try #require(answered(control, allocate)?.relayedAddress)
    let (_, identifier) = try base.connected(conversation, control)
    let data = dataConnection(conversation, like: control)
    #expect(base.bind(data, identifier)?.type == MessageType(.connectionBind, .success))
    #expect(conversation.lookUps.isEmpty)
  }
}
