internal import Metrics
internal import NetIO
internal import NetworkTypes
internal import TURN

/// Writing to TCP and TLS clients: what a turn has for a connection is gathered and written at its end, in one call.
extension Shard {
  /// A peer's data for a client: the relay's header, a part of a slot, and padding.
  @inline(__always)
  mutating func queueMedia(_ id: RecordID, slot: Int, _ range: Range<Int>, padding: Int) {
    let index = Int(id.index)
    guard connections.isTaken(index, generation: id.generation) else { return }
    settle(index, Self.queue(&connections[index], relay, plane.buffers, slot: slot, range, padding: padding, &blocks))
  }

  // The parts of the shard, taken apart so that one can be read while the other is changed.

  @inline(__always)
  private static func queue(
    _ connection: inout Connection, _ relay: borrowing Relay, _ buffers: borrowing PacketBuffers, slot: Int,
    _ range: Range<Int>, padding: Int, _ blocks: inout BlockPool
  ) -> Connection.QueueResult {
    connection.queue(prefix: relay.reply, buffers.bytes(slot, range), padding: padding, isMedia: true, &blocks)
  }

  /// A control message for a client.
  mutating func queueControl(_ id: RecordID, _ bytes: [UInt8]) {
    let index = Int(id.index)
    guard connections.isTaken(index, generation: id.generation) else { return }
    if let end = connections[index].pipe {
      // Amid a peer's bytes there is no place for messages.
      guard end.awaitsAnswer else { return }
      connections[index].pipe?.awaitsAnswer = false
    }
    settle(
      index, connections[index].queue(prefix: bytes.span.rawBytes, RawSpan(), padding: 0, isMedia: false, &blocks))
  }

  @inline(__always)
  private mutating func settle(_ index: Int, _ result: Connection.QueueResult) {
    switch result {
    case .queued: noteDirty(index)
    case .dropped(let count):
      droppedForSlowStreams &+= UInt64(count)
      noteDirty(index)
    case .failed: close(index)
    }
  }

  /// Has a connection flushed at the end of the turn.
  @inline(__always)
  mutating func noteDirty(_ index: Int) {
    guard !connections[index].isDirty else { return }
    connections[index].isDirty = true
    dirtyConnections.append(UInt32(truncatingIfNeeded: index))
  }

  /// Writes everything that the turn has gathered.
  @inline(__always)
  mutating func flushConnections() {
    guard !dirtyConnections.isEmpty else { return }
    var next = 0
    // Closing one may make another dirty.
    while next < dirtyConnections.count {
      let index = Int(dirtyConnections[next])
      next += 1
      // Its place may have another tenant by now, who has an entry of his own if he needs one.
      guard connections.isTaken(index), connections[index].isDirty else { continue }
      connections[index].isDirty = false
      if connections[index].flush(&blocks) { updateInterest(index) } else { close(index) }
    }
    dirtyConnections.removeAll(keepingCapacity: true)
  }

  /// Waits for room to write exactly while something waits to be written.
  private mutating func updateInterest(_ index: Int) {
    if let end = connections[index].pipe {
      settlePipe(end.place)
      return
    }
    let wants = connections[index].waitingByteCount > 0
    guard wants != connections[index].waitsForRoom else { return }
    connections[index].waitsForRoom = wants
    let token = EventToken(
      kind: EventKind.connection, index: UInt32(index), generation: connections.generation(index))
    try? plane.loop.modify(connections[index].socket.rawValue, token, reads: true, writes: wants)
  }
}
