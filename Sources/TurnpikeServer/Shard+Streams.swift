internal import Log
internal import NetIO
internal import NetworkTypes
internal import System
internal import TLS
internal import TURN
internal import Tables

/// TCP and TLS clients: accepting, reading and closing connections.
extension Shard {
  mutating func acceptConnections(_ handle: Handle<ClientListener>) {
    guard let listener = streams.slot(of: handle) else { return }
    // Each turn accepts a limited number, because media has priority.
    for _ in 0..<32 {
      let socket: StreamSocket?
      do throws(Errno) { socket = try streams[listener].socket.accept() } catch {
        // Without free descriptors the listener would stay readable, so it pauses for a second.
        plan.log.limited(.error, "accept-failed", ("error", "\(error)"), ("remedy", "raise the open files limit"))
        try? plane.loop.modify(
          streams[listener].socket.rawValue, EventToken(kind: EventKind.streamListener, handle), reads: false,
          writes: false)
        streams.pause(listener)
        return
      }
      guard let socket else { return }
      let number = streams[listener].number
      guard !plan.listeners[number].isProxied || trusts(socket.remote.address) else {
        recordProxyRefusal(socket.remote.address, "not in proxy-protocol.trusted")
        continue
      }
      guard plan.listeners[number].isProxied || !relay.isBanned(socket.remote.address) else {
        relay.countDrop(.banned)
        continue
      }
      guard !streams.isFull else {
        countLimit(.connections, socket.remote.address)
        continue
      }
      guard socket.rawValue < plan.connections.descriptorLimit else {
        countLimit(.descriptors, socket.remote.address)
        continue
      }
      add(socket, listener: number)
    }
  }

  private mutating func add(_ socket: consuming StreamSocket, listener: ListenerNumber) {
    guard let endpoint = endpoints.id(listener: listener, source: socket.local.address) else {
      return countLimit(.endpoints, socket.remote.address)
    }
    let descriptor = socket.rawValue
    let remote = socket.remote
    let path = ClientPath(
      address: remote, endpoint: endpoint, transport: .tcp, realm: plan.listeners[listener].realm)
    guard admitConnection(remote.address) else { return }
    let isProxied = plan.listeners[listener].isProxied
    let connection = streams.insert(Connection(socket: socket, path: path, isProxied: isProxied, now: now.instant))
    let handle = streams.handle(of: connection)
    streams.strangers.append(handle, from: remote.address)
    do throws(Errno) { try plane.loop.add(descriptor, EventToken(kind: EventKind.connection, handle)) } catch {
      close(connection)
      return
    }
    settleStranger(connection)
  }

  mutating func connectionReady(_ handle: Handle<Connection>, _ event: DataPlane.Event) {
    guard let connection = streams.slot(of: handle), streams[connection].move == nil else { return }
    if let job = streams[connection].job {
      guard fetchEngine(job, of: connection) else { return }
    }
    if let end = streams[connection].pipe {
      dataConnectionReady(connection, end, event)
      return
    }
    if event.isWritable { streams.markDirty(connection) }
    if streams[connection].isPaused {
      if event.isFailed { close(connection) }
      return
    }
    if event.isReadable || event.isFailed {
      readConnection(connection, handle)
      if streams.slot(of: handle) != nil { settleStranger(connection) }
    }
  }

  // MARK: - Reading

  private mutating func readConnection(_ connection: Slot<Connection>, _ handle: Handle<Connection>) {
    let slot = plane.streamSlot()
    if streams[connection].layer == .tls {
      readSecure(connection, handle, slot: slot)
      return
    }
    let offset = restorePartialFrame(connection, slot: slot)
    switch Self.read(streams[connection], into: &plane.buffers, slot: slot, offset: offset) {
    case .wouldBlock:
      keepPartialFrame(connection, slot: slot, offset..<offset, from: 0)
    case .closed, .failed:
      close(connection)
    case .bytes(let count): process(connection, handle, slot: slot, count: offset + count)
    }
  }

  /// Processes the bytes of a connection that is not TLS, or not yet.
  private mutating func process(_ connection: Slot<Connection>, _ handle: Handle<Connection>, slot: Int, count: Int) {
    var count = count
    if streams[connection].layer == .proxyHeader {
      guard let rest = readProxyHeader(connection, slot: slot, count: count), rest > 0 else { return }
      count = rest
    }
    if streams[connection].layer == .undecided {
      guard decideLayer(connection, firstByte: plane.buffers.bytes(slot, 0..<count).byte(at: 0)) else {
        close(connection)
        return
      }
    }
    if streams[connection].layer == .hello { return readHello(connection, slot: slot, count: count) }
    if !processFrames(connection, handle, slot: slot, count: count) { close(connection) }
  }

  private static func read(
    _ connection: borrowing Connection, into buffers: inout PacketBuffers, slot: Int, offset: Int
  ) -> ReadResult<Errno> {
    connection.socket.read(
      into: &buffers, slot: slot, offset: offset, limit: connection.isProven ? .max : StreamClients.strangerReading)
  }

  /// Decides between plain and TLS by the first byte (RFC 7983: STUN begins with 0 to 3, a TLS handshake with 22).
  private mutating func decideLayer(_ connection: Slot<Connection>, firstByte: UInt8) -> Bool {
    let path = streams[connection].path
    let listener = plan.listeners[endpoints.endpoint(path.endpoint).listener]
    let id = Handle<EngineConnection>(sameAs: streams.handle(of: connection))
    func decided(_ transport: TransportProtocol) -> ClientPath {
      ClientPath(
        address: path.address, endpoint: path.endpoint, transport: transport, connection: id, realm: path.realm)
    }
    switch firstByte {
    case 0x16:
      guard listener.auto || listener.transport == .tls, streams.context != nil else { return false }
      streams[connection].decide(hello: decided(.tls))
      countUnfinished(connection)
      return true
    case 0x00...0x03:
      // A client must not avoid the certificate that the listener's TLS requires.
      let isOpen = listener.auto && streams.context?.requiresClientCertificate != true
      guard isOpen || listener.transport == .tcp else { return false }
      streams[connection].decide(plain: decided(.tcp))
      return true
    default:
      return false
    }
  }

  private mutating func readSecure(_ connection: Slot<Connection>, _ handle: Handle<Connection>, slot: Int) {
    // Ciphertext is read into the scratch slot, plaintext into this one.
    let scratch = DataPlane.scratchSlot
    switch Self.read(streams[connection], into: &plane.buffers, slot: scratch, offset: 0) {
    case .wouldBlock: return
    case .closed, .failed: close(connection)
    case .bytes(let count):
      guard Self.feed(&streams[connection], plane.buffers, slot: scratch, 0..<count) else {
        closeOverflown(connection)
        return
      }
      // After the first message only a KeyUpdate is possible, which costs little.
      if !streams[connection].hasSpoken, streams[connection].isShakingHands { return sendAway(connection) }
      readPlaintext(connection, handle, slot: slot)
    }
  }

  static func feed(
    _ connection: inout Connection, _ buffers: borrowing PacketBuffers, slot: Int, _ range: Range<Int>
  ) -> Bool {
    connection.isBusy = true
    return connection.tls?.receive(buffers.bytes(slot, range)) ?? false
  }

  /// Reads decrypted bytes. One read may hold many records: plaintext is collected until the engine has no more, then
  /// split into frames.
  mutating func readPlaintext(_ connection: Slot<Connection>, _ handle: Handle<Connection>, slot: Int) {
    while streams.slot(of: handle) != nil {
      let start = restorePartialFrame(connection, slot: slot)
      let (end, isOver) = gatherPlaintext(connection, slot: slot, from: start)
      // TLS itself may have output: handshake messages, alerts and tickets.
      if streams[connection].waitingByteCount > 0 { streams.markDirty(connection) }
      if end > start {
        if !streams[connection].hasSpoken, let realm = streams[connection].realm(by: serverNames) {
          streams[connection].path.realm = realm
        }
        guard processFrames(connection, handle, slot: slot, count: end) else {
          close(connection)
          return
        }
      } else {
        keepPartialFrame(connection, slot: slot, 0..<start, from: 0)
      }
      guard streams.slot(of: handle) != nil else { return }
      if streams[connection].move != nil { return }
      if let end = streams[connection].pipe {
        if let pipe = tcp.slot(of: end.pipe) { readPipedPlaintext(connection, pipe) }
        return
      }
      if isOver {
        close(connection)
        return
      }
      if streams[connection].isPaused { return }
      guard end > start, end >= PacketBuffers.capacity else { return }
      // The slot is reused, so its content must be sent first.
      plane.flush()
    }
  }

  /// Decrypts into a slot until it is full or the engine has no more. Returns the end of the plaintext, and whether the
  /// connection has ended.
  @inline(__always)
  private mutating func gatherPlaintext(
    _ connection: Slot<Connection>, slot: Int, from start: Int
  ) -> (end: Int, isOver: Bool) {
    var end = start
    while end < PacketBuffers.capacity {
      switch Self.decrypt(&streams[connection], into: &plane.buffers, slot: slot, from: end) {
      case .bytes(let count): end += count
      case .wouldBlock: return (end, false)
      case .closed: return (end, true)
      case .failed(let error):
        if error.cause == .limit { countLimit(.handshakeMessages, streams[connection].path.address.address) }
        recordRefusal(error, by: streams[connection].path)
        return (end, true)
      }
    }
    return (end, false)
  }

  static func decrypt(
    _ connection: inout Connection, into buffers: inout PacketBuffers, slot: Int, from offset: Int
  ) -> ReadResult<TLSError> {
    var room = buffers.mutableBytes(slot, offset..<PacketBuffers.capacity)
    return connection.tls?.read(into: &room) ?? .closed
  }

  // MARK: - Ends

  /// Closes a connection whose TLS engine accepts no more bytes: more arrived than could be decrypted, or the TLS
  /// connection had ended already.
  private mutating func closeOverflown(_ connection: Slot<Connection>) {
    if streams[connection].hasOverflown { countLimit(.encryptedBytes, streams[connection].path.address.address) }
    close(connection)
  }

  /// Ends a connection and the allocation that was made over it.
  mutating func close(_ connection: Slot<Connection>) {
    guard streams.isTaken(connection) else { return }
    let path = streams[connection].path
    if let end = streams[connection].pipe {
      streams[connection].pipe = nil
      if let pipe = tcp.slot(of: end.pipe) {
        tcp[pipe].client = nil
        endPipe(pipe)
      }
    }
    streams[connection].sayGoodbye(&blocks)
    forgetStranger(connection)
    discardEngine(of: connection)
    // The connection is removed first: the end of the allocation must not write to it.
    removeClosed(connection)
    if path.connection != nil {
      relay.connectionClosed(path, now: now)
      runCommands()
    }
  }

  mutating func closeAllConnections() {
    var walk = SlotWalk<Connection>()
    while let connection = streams.next(&walk) {
      close(connection)
    }
  }

  /// Closes connections without an allocation after too long silence.
  mutating func sweepConnections() {
    var walk = SlotWalk<Connection>()
    while let connection = streams.next(&walk) {
      let silence = now.instant.duration(since: streams[connection].lastHeard)
      let isStranger = streams[connection].pipe == nil && !relay.hasAllocation(streams[connection].path)
      let timeout =
        streams[connection].hasSpoken ? StreamClients.strangerTimeout : StreamClients.handshakeTimeout
      if isStranger, silence > timeout { close(connection) } else { streams[connection].rest() }
    }
  }
}
