internal import System
internal import NetIO
internal import NetworkTypes
internal import TURN
internal import Tables

/// The shards to wake at the end of the turn, and the shard whose datagrams are read first.
struct SiblingBells {
  /// Shards that got media in this turn.
  fileprivate var toWake: [Int] = []
  fileprivate var first = 0
}

/// Relay to relay between two shards: a datagram from a relay port of one shard to a relay port of the other passes
/// through their exchange without the kernel. The exchange carries media only, which is dropped and counted if the ring
/// is full; control messages use the mailbox.
extension Shard {
  /// Limit of datagrams from other shards in one turn; the rest follows in the next.
  private static let siblingBudget = 256

  @inline(__always)
  mutating func pass(
    to shard: Int, from port: Handle<RelayPort>, _ address: SocketAddress, slot: Int, _ range: Range<Int>
  ) {
    guard let source = relay.localAddress(ofPort: port) else { return }
    let header = PacketExchange.Header(source: source, destination: address, trafficClass: plane.sends.trafficClass)
    if plan.exchange.post(plane.buffers.bytes(slot, range), header, from: plan.index, to: shard) {
      if !siblings.toWake.contains(shard) { siblings.toWake.append(shard) }
    } else {
      relay.countDrop(.shardBusy, on: port, now: now)
    }
  }

  /// Wakes the shards that got media in this turn.
  @inline(__always)
  mutating func wakeSiblings() {
    guard !siblings.toWake.isEmpty else { return }
    for shard in siblings.toWake where plan.exchange.needsBell(shard) { plan.siblings[shard].ring() }
    siblings.toWake.removeAll(keepingCapacity: true)
  }

  mutating func receiveFromSiblings() {
    plan.exchange.beginLooking(plan.index)
    var budget = Self.siblingBudget
    // The loop starts with another shard each time, so that a busy shard does not block the others.
    siblings.first += 1
    for step in 0..<plan.exchange.count {
      let shard = (siblings.first + step) % plan.exchange.count
      if shard == plan.index { continue }
      while budget > 0 {
        let slot = plane.streamSlot()
        guard
          let (header, count) = plan.exchange.take(from: shard, by: plan.index, into: &plane.buffers, slot: slot)
        else { break }
        budget -= 1
        let disposition = Self.receive(&relay, plane.buffers, slot: slot, count, header, now: now)
        plane.sends.trafficClass = header.trafficClass
        act(disposition, on: slot, base: 0, isPart: false, from: nil)
        plane.sends.trafficClass = 0
        if relay.hasCommands { runCommands() }
      }
    }
    if budget == 0, plan.exchange.needsBell(plan.index) { plan.mailbox.ring() }
  }

  private static func receive(
    _ relay: inout Relay, _ buffers: borrowing PacketBuffers, slot: Int, _ count: Int, _ header: PacketExchange.Header,
    now: Now
  ) -> Disposition {
    relay.receive(buffers.bytes(slot, 0..<count), fromSibling: header.source, to: header.destination, now: now)
  }
}
