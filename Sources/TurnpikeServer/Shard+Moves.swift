internal import NetIO
internal import NetworkTypes
internal import Synchronization
internal import TLS
internal import TURN

/// A client's connection on its way to another shard, with everything that belongs to it: descriptor, TLS engine, bytes
/// that nobody has read. Whoever takes it has it; where nobody does it closes.
final class MovingConnection: Sendable {
  private let connection: Mutex<Connection?>
  /// The listener that it came in by: every shard has the same.
  let listener: Int

  init(_ connection: consuming Connection, listener: Int) {
    self.connection = Mutex(consume connection)
    self.listener = listener
  }

  func take() -> Connection? { connection.withLock { $0.take() } }
}

/// Connections that belong to an allocation of another shard: ConnectionBind (RFC 6062) and mobility (RFC 8016) tell
/// only after the connection has been accepted here.
extension Shard {
  /// Notes where a connection has to go, with the message that has told. It leaves at the end of the turn: bytes of it
  /// may be at hand still.
  mutating func moveConnection(_ path: ClientPath, to shard: Int, message: [UInt8]) {
    let index = Int(path.connection.index)
    guard plan.siblings.indices.contains(shard), connections.isTaken(index, generation: path.connection.generation),
      connections[index].pipe == nil, connections[index].move == nil
    else { return }
    connections[index].move = Connection.Move(shard: shard, message: message)
    movingConnections.append(path.connection)
  }

  mutating func sendMovingConnections() {
    guard !movingConnections.isEmpty else { return }
    let leaving = movingConnections
    movingConnections = []
    for name in leaving {
      let index = Int(name.index)
      guard connections.isTaken(index, generation: name.generation), let move = connections[index].move else { continue }
      plane.loop.remove(connections[index].socket.rawValue)
      let path = connections[index].path
      forget(path.address.address)
      var connection = connections.remove(index)
      connection.takeUp(move.message, &blocks)
      // It had no allocation here; what may wait for an answer has nobody to answer to.
      relay.connectionClosed(path, now: now)
      runCommands()
      let box = MovingConnection(connection, listener: endpoints.endpoint(path.endpoint).listener)
      // A mailbox that must keep room for control letters closes it: the client connects anew.
      plan.siblings[move.shard].post(.moved(box), unlessMoreThan: 4096)
    }
  }

  /// A connection comes from another shard; its bytes are read from where that stopped.
  mutating func adopt(_ box: MovingConnection) {
    guard var connection = box.take(), connections.count < Self.connectionLimit,
      connectionsOfAddress[connection.path.address.address.accountable, default: 0] < Self.connectionsPerAddress,
      let endpoint = endpoints.id(listener: box.listener, source: connection.socket.local.address)
    else { return }
    let descriptor = connection.socket.rawValue
    let old = connection.path
    let waits = connection.waitingByteCount > 0
    connection.waitsForRoom = waits
    connection.isDirty = false
    connection.lastHeard = now.instant
    connectionsOfAddress[old.address.address.accountable, default: 0] += 1
    let place = connections.insert(connection)
    let token = EventToken(kind: EventKind.connection, index: UInt32(place.index), generation: place.generation)
    connections[place.index].path = ClientPath(
      address: old.address, endpoint: endpoint, transport: old.transport,
      connection: RecordID(index: UInt32(place.index), generation: place.generation), realm: old.realm)
    do throws(Errno) {
      try plane.loop.add(descriptor, token, writes: waits)
    } catch {
      close(place.index)
      return
    }
    readAdopted(place.index, place.generation)
  }

  /// What came along: frames cut already, and for TLS what the engine holds.
  private mutating func readAdopted(_ index: Int, _ generation: UInt32) {
    let slot = plane.streamSlot()
    guard connections[index].partialFrame.count <= PacketBuffers.capacity else {
      close(index)
      return
    }
    let count = restorePartialFrame(index, slot: slot)
    let makesSense = processFrames(index, generation, slot: slot, count: count)
    guard makesSense else {
      close(index)
      return
    }
    plane.flush()
    guard connections.isTaken(index, generation: generation), connections[index].layer == .tls else { return }
    if let end = connections[index].pipe {
      readPipedPlaintext(index, end.place)
    } else if connections[index].move == nil {
      readPlaintext(index, generation, slot: slot)
    }
  }
}

extension Connection {
  /// That a connection leaves for another shard.
  struct Move {
    var shard: Int
    /// What the other shard has to read first.
    var message: [UInt8]
  }

  /// Puts the message that tells where the connection belongs before what has not been read yet.
  mutating func takeUp(_ message: [UInt8], _ pool: inout BlockPool) {
    var bytes = PooledBytes()
    // Never refused: both come out of one slot, or are a message and the beginning of another.
    _ = bytes.append(message.span.rawBytes, &pool) && bytes.append(partialFrame.bytes, &pool)
    partialFrame.removeAll(&pool)
    partialFrame = bytes
    move = nil
  }

  /// Writes bytes of a pipe at once, as far as the kernel takes them; the rest waits. False where the connection is
  /// gone.
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

  /// Says that nothing more will be sent; false where the connection is gone.
  mutating func endWriting(_ pool: inout BlockPool) -> Bool {
    if layer == .tls {
      tls?.endWriting()
      guard flush(&pool) else { return false }
      // The rest of a close_notify that does not fit follows when there is room; the socket stays open for it.
      if waitingByteCount == 0 { socket.endWriting() }
    } else {
      socket.endWriting()
    }
    return true
  }
}
