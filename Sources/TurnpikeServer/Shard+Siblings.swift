internal import NetIO
internal import NetworkTypes
internal import TURN

/// Relay to relay between two shards: what would leave by a socket of the one and come in by a socket of the other goes
/// through their exchange, past the kernel. Media only: where the reader is behind, it is dropped and counted; control
/// messages have a mailbox of their own.
extension Shard {
  /// How many datagrams of the others are taken in one turn; the rest comes in the next.
  private static let siblingBudget = 256

  @inline(__always)
  mutating func pass(to shard: Int, from port: RecordID, _ address: SocketAddress, slot: Int, _ range: Range<Int>) {
    guard let source = relay.localAddress(ofPort: port) else { return }
    let header = PacketExchange.Header(source: source, destination: address, trafficClass: plane.sends.trafficClass)
    if plan.exchange.post(plane.buffers.bytes(slot, range), header, from: plan.index, to: shard) {
      if !siblingsToWake.contains(shard) { siblingsToWake.append(shard) }
    } else {
      relay.countDrop(.shardBusy)
    }
  }

  /// Wakes those that this turn had something for.
  @inline(__always)
  mutating func wakeSiblings() {
    guard !siblingsToWake.isEmpty else { return }
    for shard in siblingsToWake where plan.exchange.needsBell(shard) { plan.siblings[shard].ring() }
    siblingsToWake.removeAll(keepingCapacity: true)
  }

  mutating func receiveFromSiblings() {
    plan.exchange.beginLooking(plan.index)
    var budget = Self.siblingBudget
    // Who comes first changes, so that one busy sibling does not keep the others waiting.
    firstSibling += 1
    for step in 0..<plan.exchange.count {
      let shard = (firstSibling + step) % plan.exchange.count
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
