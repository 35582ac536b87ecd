internal import NetIO
internal import NetworkTypes
internal import STUN
internal import TURN

/// The frames of streams: whole ones are for the relay, the beginning of one is kept until the rest comes.
extension Shard {
  /// The longest message that is waited for before there is an allocation: a request with the longest USERNAME, REALM
  /// and NONCE is well below.
  static let longestStrangerMessage = 4096

  mutating func restorePartialFrame(_ index: Int, slot: Int) -> Int {
    let count = connections[index].partialFrame.count
    guard count > 0 else { return 0 }
    Self.restore(&connections[index], into: &plane.buffers, slot: slot, &blocks)
    return count
  }

  private static func restore(
    _ connection: inout Connection, into buffers: inout PacketBuffers, slot: Int, _ blocks: inout BlockPool
  ) {
    buffers.copy(connection.partialFrame.bytes, into: slot, at: 0)
    connection.partialFrame.removeAll(&blocks)
  }

  mutating func keepPartialFrame(_ index: Int, slot: Int, _ range: Range<Int>, from offset: Int) {
    let rest = offset..<range.upperBound
    guard !rest.isEmpty else { return }
    Self.keep(&connections[index], plane.buffers, slot: slot, rest, &blocks)
  }

  private static func keep(
    _ connection: inout Connection, _ buffers: borrowing PacketBuffers, slot: Int, _ rest: Range<Int>,
    _ blocks: inout BlockPool
  ) {
    // Never refused: a slot holds less than the largest block.
    _ = connection.partialFrame.append(buffers.bytes(slot, rest), &blocks)
  }

  /// Cuts a slot into frames and lets the relay decide about each. False where the stream makes no sense.
  mutating func processFrames(_ index: Int, _ generation: UInt32, slot: Int, count: Int) -> Bool {
    var offset = 0
    while offset < count {
      let frame = StreamFrame(
        plane.buffers.bytes(slot, offset..<count), allowsChannelData: connections[index].hasSpoken)
      let length: Int
      let padded: Int
      switch frame {
      case .invalid:
        return false
      case .incomplete(let missing):
        // Nobody who has no allocation yet has anything long to say.
        guard count - offset + missing <= Self.longestStrangerMessage || relay.hasAllocation(connections[index].path)
        else { return false }
        keepPartialFrame(index, slot: slot, 0..<count, from: offset)
        return true
      case .message(let count):
        connections[index].hasSpoken = true
        (length, padded) = (count, count)
      case .channelData(let count, let withPadding):
        (length, padded) = (count, withPadding)
      }
      connections[index].lastHeard = now.instant
      let path = connections[index].path
      let disposition = relay.receive(
        slot: slot, offset..<(offset + length), in: plane.buffers, from: path, now: now)
      act(disposition, on: slot, base: offset, isPart: true, from: path)
      if relay.hasCommands { runCommands() }
      // The answer may have found the connection gone.
      guard connections.isTaken(index, generation: generation) else { return true }
      offset += padded
      if let end = connections[index].pipe {
        // What a client sends behind its ConnectionBind is the peer's.
        sendToPeer(end.place, slot: slot, offset..<count)
        if connections.isTaken(index, generation: generation) { updatePipe(end.place) }
        return true
      }
      if connections[index].move != nil {
        keepPartialFrame(index, slot: slot, 0..<count, from: offset)
        return true
      }
    }
    return true
  }
}
