import NetworkTypes
import STUN
import Testing

@testable import TURN

extension MobilityTests {
  @Test("Of two pending moves only the last one counts: the first five-tuple is forgotten, and its ticket is used")
  func twoPendingMoves() throws {
    let conversation = conversation()
    let old = TestClient(conversation)
    let answer = try #require(allocate(old))
    let relayed = try #require(answer.relayedAddress)
    old.bind(0x4001, Self.peer)
    let (first, second) = (
      TestClient(conversation, "198.18.0.9:6000"), TestClient(conversation, "198.18.0.10:6000")
    )
    let moved = try #require(move(first, answer.ticket ?? [])?.ticket)
    // The first ticket is used; only the one of the pending move is good.
    #expect(move(second, answer.ticket ?? [])?.code == 400)
    let last = try #require(move(second, moved)?.ticket)
    #expect(conversation.relay.allocations.fiveTupleCount == 2)
    #expect(first.channelData(0x4001, [1]).drop == .noAllocation)
    #expect(first.refresh(600)?.code == 437)
    #expect(old.hear([1], from: Self.peer, on: relayed).client == old.path)
    #expect(second.channelData(0x4001, [2]).peer == SocketAddress(Self.peer))
    #expect(second.hear([1], from: Self.peer, on: relayed).client == second.path)
    #expect(old.channelData(0x4001, [3]).drop == .noAllocation)
    // Many moves that are never completed leave one pending five-tuple.
    var ticket = last
    for port in 1...50 { ticket = try #require(move(TestClient(conversation, "198.18.1.1:\(port)"), ticket)?.ticket) }
    #expect(conversation.relay.allocations.fiveTupleCount == 2)
    #expect(conversation.admitted == 1 && conversation.openPorts.count == 1)
    second.refresh(0)
    #expect(conversation.relay.allocations.fiveTupleCount == 0 && conversation.admitted == 0)
  }
}
