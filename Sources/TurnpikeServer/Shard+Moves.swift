internal import NetIO
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TLS
internal import TURN
internal import Tables

/// A client's connection that moves to another shard, with its descriptor, TLS engine and unprocessed bytes. `take()`
/// transfers ownership; otherwise deinit closes the connection.
final class MovingConnection: Sendable {
  private let connection: Mutex<Connection?>
  /// The listener that accepted it; every shard has the same listeners.
  let listener: ListenerNumber

  init(_ connection: consuming Connection, listener: ListenerNumber) {
    self.connection = Mutex(consume connection)
    self.listener = listener
  }

  func take() -> Connection? { connection.withLock { $0.take() } }
}

/// Connections that belong to an allocation of another shard, which only a ConnectionBind (RFC 6062) or Refresh (RFC
/// 8016) shows, after the connection has been accepted here.
extension Shard {
  /// Records the move of a connection to another shard, and the message that caused it. The move happens at the end of
  /// the turn, because its bytes may still be in use.
  mutating func moveConnection(_ path: ClientPath, to shard: Int, message: [UInt8]) {
    guard plan.siblings.indices.contains(shard),
      let connection = path.connection.flatMap({ streams.slot(of: Handle<Connection>(sameAs: $0)) }),
      streams[connection].pipe == nil, streams[connection].move == nil, streams[connection].job == nil
    else { return }
    streams.move(connection, Connection.Move(shard: shard, message: message))
  }

  mutating func sendMovingConnections() {
    for handle in streams.takeLeaving() {
      guard let slot = streams.slot(of: handle), let move = streams[slot].move else { continue }
      plane.loop.remove(streams[slot].socket.rawValue)
      let path = streams[slot].path
      // Each shard counts its own unauthenticated connections; the new shard counts this one again.
      forgetStranger(slot)
      var connection = streams.remove(slot)
      connection.takeUp(move.message, &blocks)
      // The connection had no allocation here; its waiting requests are dropped.
      relay.connectionClosed(path, now: now)
      runCommands()
      let box = MovingConnection(connection, listener: endpoints.endpoint(path.endpoint).listener)
      // If the mailbox has this many messages, the connection is closed, to keep room for control messages; the client
      // will connect again.
      if !plan.siblings[move.shard].post(.moved(box), unlessMoreThan: 4096) {
        countLimit(.movedConnections, path.address.address)
      }
    }
  }

  /// Takes over a connection from another shard, and continues to read its bytes.
  mutating func adopt(_ box: MovingConnection) {
    guard var connection = box.take() else { return }
    let old = connection.path
    let client = old.address.address
    guard !streams.isFull else { return countLimit(.connections, client) }
    guard let endpoint = endpoints.id(listener: box.listener, source: connection.localAddress) else {
      return countLimit(.endpoints, client)
    }
    guard admitConnection(client) else { return }
    let descriptor = connection.socket.rawValue
    let waits = connection.lacksRoom
    // Its message must authenticate here again.
    connection.isProven = false
    connection.waitsForRoom = waits
    connection.isDirty = false
    connection.lastHeard = now.instant
    let slot = streams.insert(connection)
    let handle = streams.handle(of: slot)
    if streams[slot].waitingByteCount > 0 { streams.markDirty(slot) }
    streams.strangers.append(handle, from: client)
    streams[slot].path = ClientPath(
      address: old.address, endpoint: endpoint, transport: old.transport, connection: Handle(sameAs: handle),
      realm: old.realm)
    do throws(Errno) {
      try plane.loop.add(descriptor, EventToken(kind: EventKind.connection, handle), writes: waits)
    } catch {
      close(slot)
      return
    }
    readAdopted(slot, handle)
    if streams.slot(of: handle) != nil { settleStranger(slot) }
  }

  /// Processes the bytes of a moved connection: frames, and for TLS the engine's bytes.
  mutating func readAdopted(_ connection: Slot<Connection>, _ handle: Handle<Connection>) {
    let slot = plane.streamSlot()
    guard streams[connection].partialFrame.count <= PacketBuffers.capacity else {
      close(connection)
      return
    }
    let count = restorePartialFrame(connection, slot: slot)
    guard processFrames(connection, handle, slot: slot, count: count) else {
      close(connection)
      return
    }
    plane.flush()
    guard streams.slot(of: handle) != nil, streams[connection].layer == .tls, !streams[connection].isPaused else {
      return
    }
    if let end = streams[connection].pipe {
      if let pipe = tcp.slot(of: end.pipe) { readPipedPlaintext(connection, pipe) }
    } else if streams[connection].move == nil {
      readPlaintext(connection, handle, slot: slot)
    }
  }
}

extension Connection {
  /// The target shard of a moving connection.
  struct Move {
    var shard: Int
    /// The message that the other shard processes first.
    var message: [UInt8]
  }

  /// Puts the message that caused the move before the unprocessed bytes.
  mutating func takeUp(_ message: [UInt8], _ pool: inout BlockPool) {
    var bytes = PooledBytes()
    // Both parts fit: they come from one slot, or are a message and the beginning of another message. Only without memory
    // bytes are lost; the stream is malformed then, and the connection is closed.
    _ = bytes.append(message.span.rawBytes, &pool) && bytes.append(partialFrame.bytes, &pool)
    partialFrame.removeAll(&pool)
    partialFrame = bytes
    move = nil
  }

  /// Writes bytes of a pipe at once; bytes that the kernel does not accept wait. False if the connection is closed.
  mutating func writeThrough(_ bytes: RawSpan, _ pool: inout BlockPool) -> Bool {
    if layer == .tls, outgoing.isEmpty {
      guard tls?.write(bytes) == .written else { return false }
      return flush(&pool)
    }
    var sent = 0
    if layer == .plain, outgoing.isEmpty {
      guard let count = socket.write(bytes) else { return false }
      sent = count
    }
    return outgoing.append(prefix: bytes.extracting(sent..<bytes.byteCount), RawSpan(), &pool) && flush(&pool)
  }

  /// Ends the direction to the client; false if the connection is closed.
  mutating func endWriting(_ pool: inout BlockPool) -> Bool {
    if layer == .tls {
      tls?.endWriting()
      guard flush(&pool) else { return false }
      // The rest of a close_notify is written when the socket is writable, so the socket stays open for it.
      if waitingByteCount == 0 { socket.endWriting() }
    } else {
      socket.endWriting()
    }
    return true
  }
}
