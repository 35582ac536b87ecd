import NetworkTypes
import STUN
import Testing

@testable import TURN

@Suite("RFC 8016: mobility")
struct MobilityTests {
  func conversation(_ body: (inout RelaySettings) -> Void = { _ in }) -> Conversation {
    Conversation {
      $0.policy.allowsMobility = true
      body(&$0)
    }
  }

  func allocate(_ client: TestClient) -> Answer? { client.allocate { $0.append(.mobilityTicket, [UInt8]()) } }

  /// A Refresh of `client` with a ticket; the client gets a nonce first.
  func request(
    _ client: TestClient, _ ticket: [UInt8], transaction: UInt64? = nil, lifetime: UInt32? = nil
  ) -> [UInt8] {
    if client.nonce.isEmpty { client.nonce = client.ask(client.request(.refresh, signs: false))?.nonce ?? [] }
    return client.request(.refresh, transaction: transaction) {
      if let lifetime { $0.append(.lifetime, lifetime) }
      $0.append(.mobilityTicket, ticket)
    }
  }

  func move(_ client: TestClient, _ ticket: [UInt8], lifetime: UInt32? = nil) -> Answer? {
    client.ask(request(client, ticket, lifetime: lifetime))
  }

  static let peer = "8.8.8.8:7000"

  @Test("3.1.2: an empty MOBILITY-TICKET gets a ticket, and the retransmission gets the same one")
  func ticket() {
    let conversation = conversation()
    let client = TestClient(conversation)
    client.challenge()
    let request = client.request(.allocate) {
      $0.append(.requestedTransport, UInt32(17) << 24)
      $0.append(.mobilityTicket, [UInt8]())
    }
    let answer = client.ask(request)
    #expect(answer?.relayedAddress != nil)
    #expect(answer?.ticket?.count == MobilityTickets.byteCount)
    #expect(client.ask(request)?.bytes == answer?.bytes)
    #expect(TestClient(conversation, "192.0.2.8:1").allocate()?.ticket == nil)
  }

  @Test("3.1.2: a MOBILITY-TICKET with content gives 400; with mobility off, or on an anonymous server, 405")
  func refusals() {
    #expect(TestClient(conversation()).allocate { $0.append(.mobilityTicket, [1, 2]) }?.code == 400)
    #expect(allocate(TestClient(Conversation()))?.code == 405)
    let anonymous = TestClient(conversation { $0.policy.isAnonymous = true })
    anonymous.key = nil
    let answer = anonymous.ask(
      anonymous.request(.allocate) {
        $0.append(.requestedTransport, UInt32(17) << 24)
        $0.append(.mobilityTicket, [UInt8]())
      })
    #expect(answer?.code == 405)
    let client = TestClient(Conversation())
    client.allocate()
    #expect(move(client, [])?.code == 405)
  }

  @Test("3.2.2: the old five-tuple works until data comes from the new one, then only the new one")
  func makeBeforeBreak() throws {
    let conversation = conversation()
    let old = TestClient(conversation)
    let answer = try #require(allocate(old))
    let relayed = try #require(answer.relayedAddress)
    old.bind(0x4001, Self.peer)
    let new = TestClient(conversation, "198.18.0.9:6000")
    let moved = try #require(move(new, answer.ticket ?? []))
    #expect(moved.type == MessageType(.refresh, .success))
    #expect(moved.isSigned)
    #expect(moved.ticket != nil && moved.ticket != answer.ticket)
    #expect(old.hear([1], from: Self.peer, on: relayed).client == old.path)
    #expect(old.channelData(0x4001, [2]).peer != nil)
    #expect(old.hear([1], from: Self.peer, on: relayed).client == old.path)

    #expect(new.channelData(0x4001, [3]).peer == SocketAddress(Self.peer))
    #expect(new.hear([1], from: Self.peer, on: relayed).client == new.path)
    #expect(old.channelData(0x4001, [4]).drop == .noAllocation)
    #expect(old.refresh(600)?.code == 437)
    #expect(new.refresh(600)?.lifetime == 600)
    #expect(conversation.relay.allocationCount == 1)
    #expect(conversation.admitted == 1)
    #expect(conversation.relay.allocations.fiveTupleCount == 1)
  }

  @Test("A Send indication on the new five-tuple ends the old one too")
  func sendIndication() throws {
    let conversation = conversation()
    let old = TestClient(conversation)
    let answer = try #require(allocate(old))
    old.permit(Self.peer)
    let new = TestClient(conversation, "198.18.0.9:6000")
    #expect(move(new, answer.ticket ?? [])?.ticket != nil)
    #expect(new.sendIndication(Self.peer, [1]).peer != nil)
    #expect(old.sendIndication(Self.peer, [1]).drop == .noAllocation)
  }

  @Test(
    "Any request of the owner on the new five-tuple ends the old one, one of another user does not",
    arguments: [0, 1, 2])
  func requests(kind: Int) throws {
    let conversation = conversation()
    let old = TestClient(conversation)
    let answer = try #require(allocate(old))
    let relayed = try #require(answer.relayedAddress)
    old.permit(Self.peer)
    let new = TestClient(conversation, "198.18.0.9:6000")
    #expect(move(new, answer.ticket ?? [])?.ticket != nil)
    let bob = TestClient(conversation, "198.18.0.9:6000")
    (bob.username, bob.key, bob.nonce) = ("bob", Conversation.otherKey, new.nonce)
    #expect(bob.permit(Self.peer)?.code == 441)
    #expect(old.hear([1], from: Self.peer, on: relayed).client == old.path)
    switch kind {
    case 0: new.permit(Self.peer)
    case 1: new.bind(0x4001, Self.peer)
    default: new.refresh(600)
    }
    #expect(new.hear([1], from: Self.peer, on: relayed).client == new.path)
    #expect(conversation.relay.allocations.fiveTupleCount == 1)
  }

  @Test("In a chain of moves each ticket works once, and each move makes the next ticket")
  func chain() throws {
    let conversation = conversation()
    var ticket = try #require(allocate(TestClient(conversation))?.ticket)
    var tickets = [ticket]
    for step in 1...20 {
      let client = TestClient(conversation, "198.18.0.\(step):6000")
      let answer = try #require(move(client, ticket))
      ticket = try #require(answer.ticket)
      tickets.append(ticket)
      if step % 2 == 0 { _ = client.channelData(0x4001, [1]) }
      // There are at most two five-tuples: the old one and the pending one.
      #expect(conversation.relay.allocations.fiveTupleCount <= 2)
    }
    for used in tickets.dropLast() {
      #expect(move(TestClient(conversation, "198.18.1.1:1"), used)?.code == 400)
    }
    #expect(conversation.relay.allocationCount == 1)
    #expect(conversation.admitted == 1)
  }

  @Test("3.2.2: the old ticket is valid only for retransmissions on the new five-tuple, for 40 s")
  func retransmission() throws {
    let conversation = conversation()
    let ticket = try #require(allocate(TestClient(conversation))?.ticket)
    let new = TestClient(conversation, "198.18.0.9:6000")
    let request = request(new, ticket)
    let first = new.ask(request)
    #expect(new.ask(request)?.ticket == first?.ticket)
    #expect(move(new, ticket)?.ticket == first?.ticket)
    #expect(move(TestClient(conversation, "198.18.0.10:6000"), ticket)?.code == 400)
    // After data has arrived, a retransmission still gets the same answer.
    _ = new.channelData(0x4001, [1])
    #expect(new.ask(request)?.ticket == first?.ticket)
    #expect(move(new, ticket)?.code == 400)
    conversation.wait(seconds: 41)
    #expect(new.ask(request)?.code == 400)
  }

  @Test("3.2.2: a ticket on its own five-tuple gives 400")
  func sameFiveTuple() throws {
    let client = TestClient(conversation())
    let ticket = try #require(allocate(client)?.ticket)
    #expect(move(client, ticket)?.code == 400)
  }

  @Test("Another user's ticket gives 441 and moves nothing")
  func otherUser() throws {
    let conversation = conversation()
    let alice = TestClient(conversation)
    let ticket = try #require(allocate(alice)?.ticket)
    let bob = TestClient(conversation, "198.18.0.9:6000")
    (bob.username, bob.key) = ("bob", Conversation.otherKey)
    #expect(move(bob, ticket)?.code == 441)
    #expect(conversation.relay.allocations.fiveTupleCount == 1)
    #expect(alice.refresh(600)?.lifetime == 600)
  }

  @Test("Without valid credentials a ticket moves nothing")
  func stolen() throws {
    let conversation = conversation()
    let ticket = try #require(allocate(TestClient(conversation))?.ticket)
    let thief = TestClient(conversation, "198.18.0.9:6000")
    #expect(thief.ask(thief.request(.refresh, signs: false) { $0.append(.mobilityTicket, ticket) })?.code == 401)
    thief.key = Conversation.otherKey
    #expect(move(thief, ticket)?.code == 401)
  }

  @Test("A changed, shortened or made-up ticket gives 400; one of a deleted allocation 437")
  func invalid() throws {
    let conversation = conversation()
    let client = TestClient(conversation)
    let ticket = try #require(allocate(client)?.ticket)
    let new = TestClient(conversation, "198.18.0.9:6000")
    for index in ticket.indices {
      var changed = ticket
      changed[index] ^= 0x40
      #expect(move(new, changed)?.code == 400)
    }
    #expect(move(new, Array(ticket.dropLast()))?.code == 400)
    #expect(move(new, [])?.code == 400)
    #expect(move(new, [UInt8](repeating: 0, count: ticket.count))?.code == 400)
    #expect(client.refresh(0)?.lifetime == 0)
    #expect(move(new, ticket)?.code == 437)
    // The allocation's slot holds another allocation now.
    _ = allocate(client)
    #expect(move(new, ticket)?.code == 437)
  }

  @Test("On a five-tuple with an allocation a ticket of another one gives 437, and both stay")
  func occupied() throws {
    let conversation = conversation()
    let ticket = try #require(allocate(TestClient(conversation))?.ticket)
    let other = TestClient(conversation, "198.18.0.9:6000")
    other.allocate()
    #expect(move(other, ticket)?.code == 437)
    #expect(conversation.relay.allocationCount == 2)
  }

  @Test("A Refresh with ticket and lifetime 0 deletes the allocation, with a pending move")
  func deletion() throws {
    let conversation = conversation()
    let first = try #require(allocate(TestClient(conversation))?.ticket)
    let answer = move(TestClient(conversation, "198.18.0.9:6000"), first, lifetime: 0)
    #expect(answer?.lifetime == 0)
    #expect(answer?.ticket == nil)
    #expect(conversation.relay.allocationCount == 0)

    let old = TestClient(conversation)
    let second = try #require(allocate(old)?.ticket)
    #expect(move(TestClient(conversation, "198.18.0.9:6001"), second)?.ticket != nil)
    #expect(old.refresh(0)?.lifetime == 0)
    #expect(conversation.relay.allocations.fiveTupleCount == 0)
    #expect(conversation.admitted == 0)
  }

  @Test("After a broken connection the ticket's allocation keeps its quota until it expires")
  func breakBeforeMake() throws {
    let conversation = conversation()
    let old = TestClient(conversation, transport: .tcp)
    let answer = try #require(allocate(old))
    let relayed = try #require(answer.relayedAddress)
    old.bind(0x4001, Self.peer)
    conversation.relay.connectionClosed(old.path, now: conversation.now)
    conversation.runCommands()
    #expect(conversation.admitted == 1)
    #expect(conversation.relay.allocations.fiveTupleCount == 0)

    // The next client with the same address and port has no access to the allocation.
    #expect(old.channelData(0x4001, [1]).drop == .noAllocation)
    let new = TestClient(conversation, "198.18.0.9:6000")
    #expect(move(new, answer.ticket ?? [])?.ticket != nil)
    #expect(new.hear([1], from: Self.peer, on: relayed).client == new.path)
    #expect(new.channelData(0x4001, [1]).peer != nil)
    conversation.wait(seconds: 601)
    #expect(conversation.relay.allocationCount == 0)
    #expect(conversation.admitted == 0)

    let lost = TestClient(conversation, transport: .tcp)
    #expect(allocate(lost)?.ticket != nil)
    conversation.relay.connectionClosed(lost.path, now: conversation.now)
    conversation.wait(seconds: 601)
    #expect(conversation.relay.allocationCount == 0)
    #expect(conversation.admitted == 0)
  }

  @Test("3.2.2: closing the old connection completes a pending move, closing the new one cancels it")
  func closing() throws {
    let conversation = conversation()
    let old = TestClient(conversation, transport: .tcp)
    let answer = try #require(allocate(old))
    let relayed = try #require(answer.relayedAddress)
    old.permit(Self.peer)
    let first = TestClient(conversation, "198.18.0.9:6000", transport: .tcp)
    let second = try #require(move(first, answer.ticket ?? [])?.ticket)
    conversation.relay.connectionClosed(first.path, now: conversation.now)
    #expect(old.hear([1], from: Self.peer, on: relayed).client == old.path)
    let next = TestClient(conversation, "198.18.0.10:6000", transport: .tcp)
    #expect(move(next, second)?.ticket != nil)
    conversation.relay.connectionClosed(old.path, now: conversation.now)
    #expect(old.hear([1], from: Self.peer, on: relayed).client == next.path)
    #expect(conversation.relay.allocations.fiveTupleCount == 1)
  }
}
