internal import Metrics
internal import NetIO
internal import NetworkTypes
internal import TLS
internal import TURN

/// TCP and TLS: connections, what is read from them, and what is due when one is silent or gone.
extension Shard {
  /// Connections of one shard; the next is closed at once.
  static let connectionLimit = 32_768
  /// Connections from one address (IPv6: its /64); the next is closed at once.
  static let connectionsPerAddress = 1024
  /// How long a connection may be without a whole message that has no allocation.
  static let strangerPatience: UInt64 = 60 * 1_000_000_000
  /// How long a handshake may take.
  static let handshakePatience: UInt64 = 10 * 1_000_000_000

  mutating func acceptConnections(_ place: Int) {
    guard streamListeners.isTaken(place) else { return }
    // A bounded number a turn: media comes first.
    for _ in 0..<32 {
      let socket: StreamSocket?
      do throws(Errno) { socket = try streamListeners[place].accept() } catch {
        // Without descriptors the listener would stay readable for ever: it rests for a second.
        plan.log.limited(.error, "accept-failed", ("error", "\(error)"), ("remedy", "raise the open files limit"))
        pause(place)
        return
      }
      guard let socket else { return }
      guard connections.count < Self.connectionLimit else {
        plan.log.limited(.warning, "connections-exhausted", ("limit", "\(Self.connectionLimit)"))
        continue
      }
      add(socket, listener: listenerOfStreamSocket[place])
    }
  }

  private mutating func pause(_ place: Int) {
    try? plane.loop.modify(
      streamListeners[place].rawValue, EventToken(kind: EventKind.streamListener, index: UInt32(place)), reads: false,
      writes: false)
    pausedListeners.append(place)
  }

  private mutating func add(_ socket: consuming StreamSocket, listener: Int) {
    guard let endpoint = endpoints.id(listener: listener, source: socket.local.address) else { return }
    let descriptor = socket.rawValue
    let remote = socket.remote
    let path = ClientPath(
      address: remote, endpoint: endpoint, transport: .tcp, realm: plan.listeners[listener].realm)
    guard connectionsOfAddress[remote.address.accountable, default: 0] < Self.connectionsPerAddress else {
      plan.log.limited(.warning, "connections-per-address", ("limit", "\(Self.connectionsPerAddress)"))
      return
    }
    connectionsOfAddress[remote.address.accountable, default: 0] += 1
    let place = connections.insert(Connection(socket: socket, path: path, now: now.instant))
    let token = EventToken(kind: EventKind.connection, index: UInt32(place.index), generation: place.generation)
    if (try? plane.loop.add(descriptor, token)) == nil {
      forget(remote.address)
      _ = connections.remove(place.index)
    }
  }

  mutating func connectionReady(_ event: DataPlane.Event) {
    let index = Int(event.token.index)
    guard connections.isTaken(index, generation: event.token.generation), connections[index].move == nil else { return }
    if let end = connections[index].pipe {
      dataConnectionReady(index, end, event)
      return
    }
    if event.isWritable { noteDirty(index) }
    if event.isReadable || event.isFailed { readConnection(index) }
  }

  // MARK: - Reading

  private mutating func readConnection(_ index: Int) {
    let generation = connections.generation(index)
    // What may cost a signature is bounded a turn; the event comes again next turn.
    if connections[index].layer != .plain, !connections[index].hasSpoken,
      handshakesThisTurn >= Self.handshakesPerTurn
    {
      return
    }
    let slot = plane.streamSlot()
    if connections[index].layer == .tls {
      readSecure(index, generation, slot: slot)
      return
    }
    let offset = restorePartialFrame(index, slot: slot)
    switch Self.read(connections[index], into: &plane.buffers, slot: slot, offset: offset) {
    case .wouldBlock:
      keepPartialFrame(index, slot: slot, offset..<offset, from: 0)
    case .closed:
      close(index)
    case .bytes(let count):
      if connections[index].layer == .undecided {
        guard decideLayer(index, firstByte: plane.buffers.bytes(slot, 0..<count).byte(at: 0)) else {
          close(index)
          return
        }
        if connections[index].layer == .tls {
          handshakesThisTurn += 1
          let isTaken = Self.feed(&connections[index], plane.buffers, slot: slot, 0..<count)
          if isTaken { readPlaintext(index, generation, slot: slot) } else { close(index) }
          return
        }
      }
      if !processFrames(index, generation, slot: slot, count: offset + count) { close(index) }
    }
  }

  private static func read(
    _ connection: borrowing Connection, into buffers: inout PacketBuffers, slot: Int, offset: Int
  ) -> StreamSocket.ReadResult {
    connection.socket.read(into: &buffers, slot: slot, offset: offset)
  }

  /// Plain or TLS, by the first byte (RFC 7983: STUN begins with 0 to 3, a TLS handshake with 22).
  private mutating func decideLayer(_ index: Int, firstByte: UInt8) -> Bool {
    let path = connections[index].path
    let listener = plan.listeners[endpoints.endpoint(path.endpoint).listener]
    func decided(_ transport: TransportProtocol) -> ClientPath {
      let place = RecordID(index: UInt32(index), generation: connections.generation(index))
      return ClientPath(
        address: path.address, endpoint: path.endpoint, transport: transport, connection: place, realm: path.realm)
    }
    switch firstByte {
    case 0x16:
      guard listener.auto || listener.transport == .tls, let tls else { return false }
      guard let engine = try? TLSEngine(server: tls) else { return false }
      connections[index].decide(tls: engine, path: decided(.tls))
      return true
    case 0x00...0x03:
      guard listener.auto || listener.transport == .tcp else { return false }
      connections[index].decide(plain: decided(.tcp))
      return true
    default:
      return false
    }
  }

  private mutating func readSecure(_ index: Int, _ generation: UInt32, slot: Int) {
    if !connections[index].hasSpoken { handshakesThisTurn += 1 }
    // Ciphertext goes through the last slot, and plaintext into this one.
    let scratch = DataPlane.scratchSlot
    switch Self.read(connections[index], into: &plane.buffers, slot: scratch, offset: 0) {
    case .wouldBlock: return
    case .closed: close(index)
    case .bytes(let count):
      guard Self.feed(&connections[index], plane.buffers, slot: scratch, 0..<count) else {
        close(index)
        return
      }
      readPlaintext(index, generation, slot: slot)
    }
  }

  static func feed(
    _ connection: inout Connection, _ buffers: borrowing PacketBuffers, slot: Int, _ range: Range<Int>
  ) -> Bool {
    connection.tls?.receive(buffers.bytes(slot, range)) ?? false
  }

  /// Many records for one read: plaintext is gathered until the engine has no more, then cut into frames.
  mutating func readPlaintext(_ index: Int, _ generation: UInt32, slot: Int) {
    while connections.isTaken(index, generation: generation) {
      var end = restorePartialFrame(index, slot: slot)
      let start = end
      var isOver = false
      var hasMore = false
      gathering: while end < PacketBuffers.capacity {
        switch Self.decrypt(&connections[index], into: &plane.buffers, slot: slot, from: end) {
        case .bytes(let count): end += count
        case .wouldBlock: break gathering
        case .closed, .failed:
          isOver = true
          break gathering
        }
        hasMore = end >= PacketBuffers.capacity
      }
      // Handshake messages, alerts and tickets.
      if connections[index].waitingByteCount > 0 { noteDirty(index) }
      if end > start {
        if !connections[index].hasSpoken, let realm = connections[index].realm(by: serverNames) {
          connections[index].path.realm = realm
        }
        guard processFrames(index, generation, slot: slot, count: end) else {
          close(index)
          return
        }
      } else {
        keepPartialFrame(index, slot: slot, 0..<start, from: 0)
      }
      guard connections.isTaken(index, generation: generation) else { return }
      if connections[index].move != nil { return }
      if let end = connections[index].pipe {
        readPipedPlaintext(index, end.place)
        return
      }
      if isOver {
        close(index)
        return
      }
      guard hasMore else { return }
      // The slot is used again: what lies in it must have left.
      plane.flush()
    }
  }

  static func decrypt(
    _ connection: inout Connection, into buffers: inout PacketBuffers, slot: Int, from offset: Int
  ) -> TLSEngine.ReadResult {
    var room = buffers.mutableBytes(slot, offset..<PacketBuffers.capacity)
    return connection.tls?.read(into: &room) ?? .closed
  }

  // MARK: - Ends

  /// Ends a connection and the allocation that was made over it.
  mutating func close(_ index: Int) {
    guard connections.isTaken(index) else { return }
    let path = connections[index].path
    if let end = connections[index].pipe {
      connections[index].pipe = nil
      let id = tcp.pipes[end.place].id
      tcp.pipes[end.place].client = (-1, 0)
      closePipe(id)
      relay.pipeEnded(id)
    }
    connections[index].sayGoodbye(&blocks)
    forget(path.address.address)
    // Removed first: ending the allocation must find nobody to write to.
    _ = connections.remove(index)
    if path.connection != .none {
      relay.connectionClosed(path, now: now)
      runCommands()
    }
  }

  mutating func forget(_ address: IPAddress) {
    let address = address.accountable
    if let count = connectionsOfAddress[address], count > 1 {
      connectionsOfAddress[address] = count - 1
    } else {
      connectionsOfAddress[address] = nil
    }
  }

  mutating func closeAllConnections() {
    for index in 0..<connections.upperBound where connections.isTaken(index) { close(index) }
  }

  /// Closes connections that have been silent too long without having an allocation.
  mutating func sweepConnections() {
    guard connections.count > 0 else { return }
    for index in 0..<connections.upperBound where connections.isTaken(index) {
      let silence = now.instant.nanoseconds(since: connections[index].lastHeard)
      let isStranger = connections[index].pipe == nil && !relay.hasAllocation(connections[index].path)
      if isStranger, silence > (connections[index].isShakingHands ? Self.handshakePatience : Self.strangerPatience) {
        close(index)
      } else {
        connections[index].rest()
      }
    }
  }
}
