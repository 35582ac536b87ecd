import NetworkTypes
import STUN
import Testing

@testable import TURN

/// Allocations of two shards of one server exchange packets without a socket, through the checks of both sides.
@Suite("Packets between shards")
struct SiblingTests {
  let first: Conversation
  let second: Conversation
  let alice: TestClient
  let bob: TestClient

  init() {
    first = Conversation(shard: 0, shardCount: 2)
    second = Conversation(shard: 1, shardCount: 2, relayed: first.relayed)
    alice = TestClient(first)
    bob = TestClient(second, "192.0.2.8:5000")
  }

  /// The disposition of the other shard for a packet that this one forwards.
  func deliver(_ disposition: Disposition, _ data: [UInt8]) throws -> Disposition {
    guard case .toShard(let shard, let port, let address, let offset, let count) = disposition else {
      Issue.record("not passed on: \(disposition)")
      return disposition
    }
    #expect(shard == 1)
    #expect(offset == 4 && count == data.count)
    let source = first.relay.localAddress(ofPort: port)
    return second.relay.receive(
      data.span.rawBytes, fromSibling: try #require(source), to: address, now: second.now)
  }

  @Test("A packet for a relayed address of another shard is passed to that shard, and on to its client")
  func passes() throws {
    let from = try #require(alice.allocate()?.relayedAddress)
    let to = try #require(bob.allocate()?.relayedAddress)
    alice.bind(0x4001, "\(to)")
    let data: [UInt8] = [1, 2, 3]
    // The other side's permission is checked too.
    #expect(try deliver(alice.channelData(0x4001, data), data).drop == .noPermission)
    bob.permit("\(from)")
    #expect(try deliver(alice.channelData(0x4001, data), data).client == bob.path)
    bob.bind(0x4002, "\(from)")
    #expect(try deliver(alice.channelData(0x4001, data), data).client == bob.path)
    #expect(second.relay.copiedReply() == [0x40, 0x02, 0, 3])
    #expect(second.relay.counters.toClients.packets == 2)
  }

  @Test("A packet for a deleted relayed address is dropped, and one of the same shard stays there")
  func gone() throws {
    let to = try #require(bob.allocate()?.relayedAddress)
    alice.allocate()
    alice.bind(0x4001, "\(to)")
    let disposition = alice.channelData(0x4001, [1])
    bob.refresh(0)
    #expect(try deliver(disposition, [1]).drop == .noRelayPort)
    // The first shard sees that the port has no allocation, so the peer is forbidden.
    #expect(alice.channelData(0x4001, [1]).drop == .forbiddenPeer)

    let carol = TestClient(first, "192.0.2.9:5000")
    let near = try #require(carol.allocate()?.relayedAddress)
    carol.permit("203.0.113.1:1")
    alice.bind(0x4003, "\(near)")
    #expect(alice.channelData(0x4003, [1]).client == carol.path)
  }
}
