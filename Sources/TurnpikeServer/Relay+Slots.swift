internal import NetIO
internal import NetworkTypes
internal import TURN

/// The relay as a shard speaks to it: of slots of its buffers. The spans are lent for the call and no longer.
extension Relay {
  /// A datagram that another shard has passed on.
  mutating func receiveHandedOver(
    slot: Int, _ range: Range<Int>, in buffers: borrowing PacketBuffers, from client: ClientPath, now: Now
  ) -> Disposition {
    receiveHandedOver(buffers.bytes(slot, range), from: client, now: now)
  }

  /// A client's message in a slot.
  @inline(__always)
  mutating func receive(
    slot: Int, _ range: Range<Int>, in buffers: borrowing PacketBuffers, from client: ClientPath, now: Now
  ) -> Disposition {
    receive(buffers.bytes(slot, range), from: client, now: now)
  }

  @inline(__always)
  mutating func receive(
    slot: Int, _ range: Range<Int>, in buffers: borrowing PacketBuffers, fromPeer peer: SocketAddress,
    on port: RecordID, now: Now
  ) -> Disposition {
    receive(buffers.bytes(slot, range), fromPeer: peer, on: port, now: now)
  }

  /// A copy of the reply, for the way that is seldom taken.
  borrowing func replyBytes() -> [UInt8] { reply.copied() }
}
