internal import Log
internal import NetIO
internal import NetworkTypes
internal import TURN
internal import Tables

/// Writing to TCP and TLS clients: a turn's output for a connection is collected, and written at the end of the turn in
/// one call.
extension Shard {
  /// Queues a peer's data for a client: the relay's header, a part of a slot, and padding.
  @inline(__always)
  mutating func queueMedia(_ handle: Handle<Connection>, slot: Int, _ range: Range<Int>, padding: Int) {
    guard let connection = streams.slot(of: handle) else { return }
    finishQueuing(
      connection,
      Self.queue(&streams[connection], relay, plane.buffers, slot: slot, range, padding: padding, &blocks))
  }

  @inline(__always)
  private static func queue(
    _ connection: inout Connection, _ relay: borrowing Relay, _ buffers: borrowing PacketBuffers, slot: Int,
    _ range: Range<Int>, padding: Int, _ blocks: inout BlockPool
  ) -> Connection.QueueResult {
    connection.queue(prefix: relay.reply, buffers.bytes(slot, range), padding: padding, isMedia: true, &blocks)
  }

  /// Queues a control message for a client.
  mutating func queueControl(_ handle: Handle<Connection>, _ bytes: [UInt8]) {
    guard let connection = streams.slot(of: handle) else { return }
    if let end = streams[connection].pipe {
      // A data connection carries the peer's bytes only.
      guard end.awaitsAnswer else { return }
      streams[connection].pipe?.awaitsAnswer = false
    }
    finishQueuing(
      connection, streams[connection].queue(prefix: bytes.span.rawBytes, RawSpan(), padding: 0, isMedia: false, &blocks)
    )
  }

  @inline(__always)
  private mutating func finishQueuing(_ connection: Slot<Connection>, _ result: Connection.QueueResult) {
    switch result {
    case .queued: streams.markDirty(connection)
    case .dropped(let count):
      countLimit(.streamMedia, streams[connection].path.address.address, times: count)
      streams.markDirty(connection)
    case .full:
      countLimit(.streamMessages, streams[connection].path.address.address)
      close(connection)
    case .failed: close(connection)
    }
  }

  /// Writes everything that the turn has collected.
  @inline(__always)
  mutating func flushConnections() {
    while let connection = streams.takeDirty() {
      guard streams[connection].flush(&blocks) else {
        close(connection)
        continue
      }
      let handle = streams.handle(of: connection)
      updateInterest(connection)
      // Output that an unauthenticated client does not read counts as strangers' memory. `updateInterest` may have
      // ended a pipe and its connection.
      if streams.slot(of: handle) != nil, !streams[connection].isProven { settleStranger(connection) }
    }
  }

  /// Updates the loop's interest: writing only while output waits.
  private mutating func updateInterest(_ connection: Slot<Connection>) {
    if let end = streams[connection].pipe {
      if let pipe = tcp.slot(of: end.pipe) { settlePipe(pipe) }
      return
    }
    let wants = streams[connection].lacksRoom
    guard wants != streams[connection].waitsForRoom else { return }
    streams[connection].waitsForRoom = wants
    updateWatch(connection)
  }
}
