internal import NetIO
internal import NetworkTypes
internal import TURN
internal import Tables

/// The relay's inputs for messages in slots of the shard's buffers. The spans are borrowed for the call only.
extension Relay {
  /// A datagram from another shard.
  mutating func receiveForwarded(
    slot: Int, _ range: Range<Int>, in buffers: borrowing PacketBuffers, from client: ClientPath, now: Now
  ) -> Disposition {
    receiveForwarded(buffers.bytes(slot, range), from: client, now: now)
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
    on port: Handle<RelayPort>, now: Now
  ) -> Disposition {
    receive(buffers.bytes(slot, range), fromPeer: peer, on: port, now: now)
  }

  /// A copy of the reply, for rare paths.
  borrowing func replyBytes() -> [UInt8] { reply.copied() }
}
