import NetworkTypes
import STUN
import Testing

@testable import TURN

extension TCPRelayTests {
  // MARK: - 5.3 Incoming connections

  @Test("5.3: with a permission the client gets the peer and a CONNECTION-ID; without one the connection is closed")
  func incoming() throws {
    let conversation = Conversation(advertise: "198.51.100.1")
    let (client, relayed) = try allocated(conversation)
    #expect(accept(conversation, "8.8.8.8:1234", on: relayed) == nil)
    #expect(conversation.lateReplies.count == 1)  // the Allocate's answer
    client.permit("8.8.8.8:0")
    let id = try #require(accept(conversation, "8.8.8.8:1234", on: relayed))
    let bytes = try #require(conversation.lateReplies.last?.1)
    #expect(conversation.lateReplies.last?.0 == client.path)
    let message = try MessageView(bytes.span.rawBytes)
    let isAttempt = message.type == MessageType(.connectionAttempt, .indication)
    #expect(isAttempt)
    let peer = try message.xorAddress(.xorPeerAddress)
    #expect(peer == SocketAddress("8.8.8.8:1234"))
    let identifier = try #require(client.read(bytes)?.connectionID)
    #expect(bind(dataConnection(conversation), identifier)?.type == MessageType(.connectionBind, .success))
    #expect(conversation.boundPipes.map(\.id) == [id])
    conversation.tick(seconds: 300)
    #expect(accept(conversation, "8.8.8.8:1235", on: relayed) == nil)
  }

  @Test("5.3: a connection from a peer that new rules forbid is closed despite its permission")
  func forbiddenByNow() throws {
    let conversation = Conversation(allow: ["10.0.0.0/8"])
    let (client, relayed) = try allocated(conversation)
    client.permit("10.0.0.5:0")
    #expect(accept(conversation, "10.0.0.5:1", on: relayed) != nil)
    conversation.relay.update(
      settings: conversation.relay.settings,
      gate: PeerGate(rules: PeerRules(), relayed: conversation.relayed, ownAddresses: [], closed: []))
    #expect(accept(conversation, "10.0.0.5:2", on: relayed) == nil)
  }

  @Test("Another relay of the server is named by its advertised address behind a 1:1 NAT")
  func advertised() throws {
    let conversation = Conversation(advertise: "198.51.100.1")
    let (client, relayed) = try allocated(conversation)
    let other = TestClient(conversation, "192.0.2.8:1", transport: .tcp, connection: 8)
    let otherRelayed = try #require(other.allocate(.tcp)?.relayedAddress)
    client.permit("198.51.100.1:0")
    #expect(connect(other, "\(relayed)") == nil)
    #expect(conversation.connects[0].to == SocketAddress(IPAddress("203.0.113.1")!, port: relayed.port))
    let id = accept(conversation, "203.0.113.1:\(otherRelayed.port)", on: relayed)
    #expect(id != nil)
    let bytes = try #require(conversation.lateReplies.last?.1)
    let message = try MessageView(bytes.span.rawBytes)
    let peer = try message.xorAddress(.xorPeerAddress)
    #expect(peer == otherRelayed)
  }

  // MARK: - 5.4 ConnectionBind

  @Test("5.4: ConnectionBind over UDP, without CONNECTION-ID or with an unknown one gives 400")
  func badBinds() throws {
    let conversation = Conversation()
    let (client, _) = try allocated(conversation)
    let (_, identifier) = try connected(conversation, client)
    #expect(bind(dataConnection(conversation, transport: .udp), identifier)?.code == 400)
    let data = dataConnection(conversation)
    #expect(bind(data, nil)?.code == 400)
    #expect(bind(data, identifier &+ 1)?.code == 400)
    #expect(data.ask(data.request(.connectionBind) { $0.append(.connectionID, [1, 2, 3]) })?.code == 400)
    // The control connection cannot be a data connection.
    #expect(bind(client, identifier)?.code == 400)
    #expect(bind(data, identifier)?.type == MessageType(.connectionBind, .success))
    let second = dataConnection(conversation, "192.0.2.7:5002")
    #expect(bind(second, identifier)?.code == 400)
    #expect(conversation.boundPipes.map(\.client) == [data.path])
  }

  @Test("5.4: another user's connection cannot be bound, and stays for its owner")
  func stranger() throws {
    let conversation = Conversation()
    let (client, _) = try allocated(conversation)
    let (_, identifier) = try connected(conversation, client)
    let thief = TestClient(conversation, "192.0.2.66:1", transport: .tls, connection: 6)
    thief.username = "bob"
    thief.key = Conversation.otherKey
    thief.challenge()
    #expect(bind(thief, identifier)?.code == 441)
    #expect(bind(dataConnection(conversation), identifier)?.code == nil)
    #expect(conversation.boundPipes.count == 1)
  }

  @Test("4.3: ConnectionBind needs credentials")
  func unauthenticated() throws {
    let conversation = Conversation()
    let (client, _) = try allocated(conversation)
    let (_, identifier) = try connected(conversation, client)
    let data = dataConnection(conversation)
    #expect(data.ask(data.request(.connectionBind, signs: false) { $0.append(.connectionID, identifier) })?.code == 401)
    #expect(client.ask(client.request(.connect, signs: false))?.code == 401)
    #expect(conversation.boundPipes.isEmpty)
  }

  @Test("A ConnectionBind for another shard's allocation moves there with its connection")
  func anotherShard() throws {
    let first = Conversation(shard: 0, shardCount: 3)
    let second = Conversation(shard: 1, shardCount: 3, relayed: first.relayed)
    let (client, _) = try allocated(second)
    let (_, identifier) = try connected(second, client)
    #expect(identifier % 3 == 1)
    let data = dataConnection(first)
    #expect(bind(data, identifier) == nil)
    let move = try #require(first.moves.last)
    #expect(move.shard == 1)
    #expect(move.client == data.path)
    let there = TestClient(second, "192.0.2.7:5001", transport: .tcp, connection: 77)
    #expect(there.ask(move.bytes)?.type == MessageType(.connectionBind, .success))
    #expect(second.boundPipes.last?.client == there.path)
  }

  // MARK: - 5.5 Ends

  @Test("5.5: the end of the allocation closes its connections in every state")
  func allocationEnds() throws {
    for way in 0..<3 {
      let conversation = Conversation()
      let (client, relayed) = try allocated(conversation)
      client.permit("8.8.8.8:0")
      let (bound, identifier) = try connected(conversation, client)
      #expect(bind(dataConnection(conversation), identifier)?.code == nil)
      let waiting = try #require(accept(conversation, "8.8.8.8:1234", on: relayed))
      #expect(connect(client, "8.8.4.4:1") == nil)
      let onTheWay = conversation.connects[1].id
      switch way {
      case 0: client.refresh(0)
      case 1: conversation.wait(seconds: 601)
      default:
        conversation.relay.connectionClosed(client.path, now: conversation.now)
        conversation.runCommands()
      }
      #expect(Set(conversation.closedPipes).isSuperset(of: [bound] + (way == 1 ? [] : [waiting, onTheWay])))
      #expect(conversation.relay.peerConnections.count == 0)
      #expect(conversation.relay.peerConnections.waitingClients.isEmpty)
      #expect(conversation.relay.timers.count == 0)
    }
  }

  @Test("A dual allocation relays TCP of both families, and each family's end closes its own connections")
  func families() throws {
    let conversation = Conversation()
    let client = TestClient(conversation, transport: .tls)
    let answer = client.allocate(.tcp) { $0.append(.additionalAddressFamily, UInt32(2) << 24) }
    #expect(answer?.relayedAddresses.count == 2)
    let (four, _) = try connected(conversation, client)
    let (six, _) = try connected(conversation, client, "[2001:4860::8]:80")
    #expect(conversation.connects[1].from.family == .ipv6)
    _ = client.ask(
      client.request(.refresh) {
        $0.append(.lifetime, 0 as UInt32)
        $0.append(.requestedAddressFamily, UInt32(2) << 24)
      })
    #expect(conversation.closedPipes == [six])
    #expect(conversation.relay.peerConnections.slot(of: four) != nil)
  }
}
