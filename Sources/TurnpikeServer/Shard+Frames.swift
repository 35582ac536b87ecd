internal import NetIO
internal import NetworkTypes
internal import STUN
internal import TURN
internal import Tables

/// Frames of streams: whole frames go to the relay, the beginning of an incomplete frame is kept.
extension Shard {
  /// Limit of a message without an allocation, in bytes; a request with the longest USERNAME, REALM and NONCE is much
  /// shorter.
  static let longestStrangerMessage = 4096

  mutating func restorePartialFrame(_ connection: Slot<Connection>, slot: Int) -> Int {
    let count = streams[connection].partialFrame.count
    guard count > 0 else { return 0 }
    Self.restore(&streams[connection], into: &plane.buffers, slot: slot, &blocks)
    return count
  }

  private static func restore(
    _ connection: inout Connection, into buffers: inout PacketBuffers, slot: Int, _ blocks: inout BlockPool
  ) {
    buffers.copy(connection.partialFrame.bytes, into: slot, at: 0)
    connection.partialFrame.removeAll(&blocks)
  }

  mutating func keepPartialFrame(_ connection: Slot<Connection>, slot: Int, _ range: Range<Int>, from offset: Int) {
    let rest = offset..<range.upperBound
    guard !rest.isEmpty else { return }
    Self.keep(&streams[connection], plane.buffers, slot: slot, rest, &blocks)
  }

  private static func keep(
    _ connection: inout Connection, _ buffers: borrowing PacketBuffers, slot: Int, _ rest: Range<Int>,
    _ blocks: inout BlockPool
  ) {
    // This cannot fail: a slot holds less than the largest block.
    _ = connection.partialFrame.append(buffers.bytes(slot, rest), &blocks)
  }

  /// Splits a slot into frames and passes each to the relay. False if the stream is not STUN.
  mutating func processFrames(_ connection: Slot<Connection>, _ handle: Handle<Connection>, slot: Int, count: Int)
    -> Bool
  {
    var offset = 0
    while offset < count {
      let frame = StreamFrame(
        plane.buffers.bytes(slot, offset..<count), allowsChannelData: streams[connection].hasSpoken)
      let length: Int
      let padded: Int
      switch frame {
      case .invalid:
        return false
      case .incomplete(let missing):
        guard mayWait(connection, forFrameOf: count - offset + missing) else { return false }
        keepPartialFrame(connection, slot: slot, 0..<count, from: offset)
        return true
      case .message(let count):
        streams[connection].hasSpoken = true
        (length, padded) = (count, count)
      case .channelData(let count, let withPadding):
        (length, padded) = (count, withPadding)
      }
      let path = streams[connection].path
      let disposition = relay.receive(
        slot: slot, offset..<(offset + length), in: plane.buffers, from: path, now: now)
      if pauses(connection, after: disposition, slot: slot, offset..<count) {
        if relay.hasCommands { runCommands() }
        return true
      }
      streams[connection].lastHeard = now.instant
      act(disposition, on: slot, base: offset, isPart: true, from: path)
      if relay.hasCommands { runCommands() }
      // The answer may have closed the connection.
      guard streams.slot(of: handle) != nil else { return true }
      offset += padded
      if takesRest(connection, handle, slot: slot, offset..<count) { return true }
    }
    return true
  }

  /// Whether to wait for the rest of a frame. Without an allocation only requests are valid, and they fit the limit.
  private mutating func mayWait(_ connection: Slot<Connection>, forFrameOf byteCount: Int) -> Bool {
    let path = streams[connection].path
    if byteCount <= Self.longestStrangerMessage || relay.hasAllocation(path) { return true }
    countLimit(.strangerMessage, path.address.address)
    return false
  }

  /// Whether the last frame has changed the connection's state, so that the rest of the slot is not split into frames:
  /// after a ConnectionBind the rest is data for the peer, and before a move to another shard it must wait.
  @inline(__always)
  private mutating func takesRest(
    _ connection: Slot<Connection>, _ handle: Handle<Connection>, slot: Int, _ rest: Range<Int>
  ) -> Bool {
    if let end = streams[connection].pipe {
      if let pipe = tcp.slot(of: end.pipe) { sendToPeer(pipe, slot: slot, rest) }
      if streams.slot(of: handle) != nil, let pipe = tcp.slot(of: end.pipe) { updatePipe(pipe) }
      return true
    }
    guard streams[connection].move != nil else { return false }
    keepPartialFrame(connection, slot: slot, 0..<rest.upperBound, from: rest.lowerBound)
    return true
  }
}
