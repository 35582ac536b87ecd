import NetworkTypes
import STUN
import Testing

@testable import TURN

extension MobilityTests {
  @Test("A client that moves to another shard is forwarded to its allocation's shard, once")
  func otherShard() throws {
    let owner = Conversation(shard: 0, shardCount: 2) { $0.policy.allowsMobility = true }
    let elsewhere = Conversation(shard: 1, shardCount: 2, relayed: owner.relayed) { $0.policy.allowsMobility = true }
    let old = TestClient(owner)
    let answer = try #require(allocate(old))
    old.bind(0x4001, Self.peer)

    let new = TestClient(elsewhere, "198.18.0.9:6000")
    #expect(move(new, answer.ticket ?? []) == nil)
    let first = try #require(elsewhere.handOvers.first)
    #expect(first.shard == 0)
    guard
      case .reply = owner.relay.receiveForwarded(first.bytes.span.rawBytes, from: first.client, now: owner.now),
      let moved = new.read(owner.relay.copiedReply())
    else {
      Issue.record("not answered")
      return
    }
    #expect(moved.ticket != nil)

    // Media from the new five-tuple is forwarded too.
    #expect(new.channelData(0x4001, [5]).drop == nil)
    let media = try #require(elsewhere.handOvers.last)
    let disposition = owner.relay.receiveForwarded(media.bytes.span.rawBytes, from: media.client, now: owner.now)
    #expect(disposition.peer == SocketAddress(Self.peer))

    // A ticket that has been forwarded once is not forwarded again.
    let foreign = try #require(allocate(TestClient(elsewhere, "192.0.2.9:1"))?.ticket)
    let wandering = TestClient(owner, "198.18.0.12:6000")
    let bytes = request(wandering, foreign)
    let end = owner.relay.receiveForwarded(bytes.span.rawBytes, from: wandering.path, now: owner.now)
    guard case .reply = end else {
      Issue.record("handed on")
      return
    }
    #expect(wandering.read(owner.relay.copiedReply())?.code == 437)
    #expect(owner.handOvers.isEmpty)

    // After a long silence the forwarding entry is removed.
    elsewhere.wait(seconds: 3700)
    #expect(elsewhere.relay.moved.count == 0)
    #expect(new.channelData(0x4001, [5]).drop == .noAllocation)
  }

  @Test("A connection moves as a whole to its allocation's shard, with its Refresh")
  func streamOnOtherShard() throws {
    let owner = Conversation(shard: 0, shardCount: 2) { $0.policy.allowsMobility = true }
    let elsewhere = Conversation(shard: 1, shardCount: 2, relayed: owner.relayed) { $0.policy.allowsMobility = true }
    let ticket = try #require(allocate(TestClient(owner))?.ticket)
    let new = TestClient(elsewhere, "198.18.0.9:6000", transport: .tcp)
    #expect(move(new, ticket) == nil)
    let sent = try #require(elsewhere.moves.last)
    #expect(sent.shard == 0 && sent.client == new.path)
    #expect(elsewhere.handOvers.isEmpty)
    let there = TestClient(owner, "198.18.0.9:6000", transport: .tcp, connection: 9)
    #expect(there.ask(sent.bytes)?.type == MessageType(.refresh, .success))
    // A client that has an allocation is not forwarded: 437.
    let busy = TestClient(elsewhere, "198.18.0.10:6000", transport: .tcp, connection: 10)
    busy.allocate()
    #expect(move(busy, ticket)?.code == 437)
  }
}
