internal import Metrics
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import TLS
internal import TURN

/// DTLS on the sockets of UDP (RFC 7350): told apart by the first byte, answered without memory until a client has
/// shown its cookie, one message a record.
extension Shard {
  /// Milliseconds between two looks at which flights of handshakes must be sent again.
  private static let handshakeTick: UInt32 = 250

  mutating func receiveSecureDatagram(_ slot: Int, _ range: Range<Int>, from path: ClientPath) {
    let listener = plan.listeners[endpoints.endpoint(path.endpoint).listener]
    guard listener.auto || listener.transport == .dtls else { return relay.countDrop(.notSTUN) }
    let client = Associations.Client(path)
    if let index = associations.find(client) {
      // A hello on a live association may be a client that has started anew (RFC 6347 section 4.2.8): the old one
      // stays until the new one has shown its cookie.
      let startsAnew =
        associations.places[index].isEstablished && Associations.isHello(plane.buffers.bytes(slot, range))
        && Associations.helloRandom(plane.buffers.bytes(slot, range)) != associations.places[index].helloRandom
      if !startsAnew { return readAssociation(index, slot, range) }
    }
    greet(client, path, slot, range)
  }

  /// Somebody without an association, or with one that may be over.
  private mutating func greet(_ client: Associations.Client, _ path: ClientPath, _ slot: Int, _ range: Range<Int>) {
    guard Associations.isHello(plane.buffers.bytes(slot, range)) else { return relay.countDrop(.malformed) }
    guard plan.limiter.hasBudget(path.address.address, now: now.instant) else { return relay.countDrop(.rateLimited) }
    let random = Associations.helloRandom(plane.buffers.bytes(slot, range))
    switch Self.listen(&associations, plane.buffers, slot, range, from: client, now: now.instant) {
    case .ignored:
      relay.countDrop(.malformed)
    case .cookieAsked:
      _ = plan.limiter.take(path.address.address, now: now.instant)
      for answer in associations.takeAnswers() {
        let slot = plane.replySlot()
        plane.buffers.copy(answer.span.rawBytes, into: slot, at: 0)
        sendDatagram(slot, answer.count, to: path)
      }
    case .verified:
      // Signatures are bounded a turn, media comes first: the client says hello again in a second.
      guard datagramHandshakesThisTurn < Self.handshakesPerTurn, hasRoom(for: path) else { return associations.turnAway() }
      if let index = associations.find(client) { closeAssociation(index, saysGoodbye: false) }
      datagramHandshakesThisTurn += 1
      connectionsOfAddress[path.address.address.accountable, default: 0] += 1
      guard let index = associations.adopt(path, helloRandom: random, now: now.instant) else {
        return forget(path.address.address)
      }
      if associations.nextTick == .distantFuture {
        associations.nextTick = now.instant.advanced(byMilliseconds: Self.handshakeTick)
      }
      readPlaintext(index)
    }
  }

  private mutating func hasRoom(for path: ClientPath) -> Bool {
    guard associations.hasRoom(for: path.address.address) else {
      plan.log.limited(.warning, "dtls-handshakes-exhausted", ("limit", "\(Associations.unfinishedLimit)"))
      return false
    }
    if associations.count >= Associations.limit {
      plan.log.limited(.warning, "associations-exhausted", ("limit", "\(Associations.limit)"))
      return false
    }
    if connectionsOfAddress[path.address.address.accountable, default: 0] >= Self.connectionsPerAddress {
      plan.log.limited(.warning, "connections-per-address", ("limit", "\(Self.connectionsPerAddress)"))
      return false
    }
    return true
  }

  private static func listen(
    _ associations: inout Associations, _ buffers: borrowing PacketBuffers, _ slot: Int, _ range: Range<Int>,
    from client: Associations.Client, now: Instant
  ) -> DTLSEngine.ListenResult {
    associations.listen(buffers.bytes(slot, range), from: client, now: now)
  }

  // MARK: - Reading

  private mutating func readAssociation(_ index: Int, _ slot: Int, _ range: Range<Int>) {
    if !associations.places[index].isEstablished {
      // Garbage is dropped in silence by DTLS: so many datagrams, and no more.
      associations.places[index].handshakeDatagrams += 1
      guard associations.places[index].handshakeDatagrams <= Association.handshakeDatagramLimit else {
        return closeAssociation(index)
      }
      guard datagramHandshakesThisTurn < Self.handshakesPerTurn else { return relay.countDrop(.tooManyWaiting) }
      datagramHandshakesThisTurn += 1
    }
    Self.feed(&associations, index, plane.buffers, slot, range)
    readPlaintext(index)
  }

  private static func feed(
    _ associations: inout Associations, _ index: Int, _ buffers: borrowing PacketBuffers, _ slot: Int,
    _ range: Range<Int>
  ) {
    associations.places[index].engine.receive(buffers.bytes(slot, range))
  }

  /// Takes everything that the engine has decrypted: the records of one datagram, and those that came before the
  /// handshake's end and were kept until it.
  private mutating func readPlaintext(_ index: Int) {
    let generation = associations.places.generation(index)
    associations.places[index].lastHeard = now.instant
    var slot = plane.replySlot()
    var offset = 0
    var isOver = false
    reading: while true {
      if offset + DTLSEngine.messageLimit > PacketBuffers.capacity {
        slot = plane.replySlot()
        offset = 0
      }
      switch Self.decrypt(&associations, index, into: &plane.buffers, slot, offset..<PacketBuffers.capacity) {
      case .bytes(let count):
        noteEstablished(index)
        let path = associations.places[index].path
        let disposition = relay.receive(slot: slot, offset..<(offset + count), in: plane.buffers, from: path, now: now)
        act(disposition, on: slot, base: offset, isPart: true, from: path)
        runCommands()
        // The answer may have found the association gone.
        guard associations.places.isTaken(index, generation: generation) else { return }
        offset += count
      case .wouldBlock: break reading
      case .closed, .failed:
        isOver = true
        break reading
      }
    }
    noteEstablished(index)
    if isOver { closeAssociation(index) } else { flushAssociation(index) }
  }

  /// Once its handshake is done, a client's server name may tell its realm.
  private mutating func noteEstablished(_ index: Int) {
    guard !associations.places[index].isEstablished, associations.places[index].engine.isEstablished else { return }
    associations.noteEstablished(index)
    guard !serverNames.isEmpty,
      let realm = serverNames.realm(of: associations.places[index].engine.requestedServerName)
    else { return }
    associations.places[index].path.realm = realm
  }

  private static func decrypt(
    _ associations: inout Associations, _ index: Int, into buffers: inout PacketBuffers, _ slot: Int,
    _ range: Range<Int>
  ) -> TLSEngine.ReadResult {
    var room = buffers.mutableBytes(slot, range)
    return associations.places[index].engine.read(into: &room)
  }

  // MARK: - Writing

  /// A peer's data to a client's association: the relay's header, a part of a slot, and padding.
  mutating func sendToAssociation(_ id: RecordID, slot: Int, _ range: Range<Int>, padding: Int) {
    let index = Int(id.index)
    guard associations.places.isTaken(index, generation: id.generation) else { return }
    settle(index, Self.write(&associations.places[index].engine, relay, &plane.buffers, slot, range, padding))
  }

  mutating func sendToAssociation(_ id: RecordID, _ bytes: RawSpan) {
    let index = Int(id.index)
    guard associations.places.isTaken(index, generation: id.generation) else { return }
    settle(index, associations.places[index].engine.write(bytes))
  }

  private static func write(
    _ engine: inout DTLSEngine, _ relay: borrowing Relay, _ buffers: inout PacketBuffers, _ slot: Int,
    _ range: Range<Int>, _ padding: Int
  ) -> TLSEngine.WriteResult {
    let whole = buffers.assemble(in: DataPlane.scratchSlot, prefix: relay.reply, slot: slot, range, padding: padding)
    return engine.write(buffers.bytes(DataPlane.scratchSlot, 0..<whole))
  }

  private mutating func settle(_ index: Int, _ result: TLSEngine.WriteResult) {
    switch result {
    case .written: flushAssociation(index)
    // Larger than a record, or the association is over, which the sweep will see.
    case .failed, .wouldBlock: relay.countDrop(.tooLarge)
    }
  }

  private mutating func flushAssociation(_ index: Int) {
    let path = associations.places[index].path
    while associations.places[index].engine.hasOutput {
      let slot = plane.replySlot()
      let count = Self.takeDatagram(&associations.places[index].engine, into: &plane.buffers, slot: slot)
      sendDatagram(slot, count, to: path)
    }
  }

  private mutating func sendDatagram(_ slot: Int, _ count: Int, to path: ClientPath) {
    let endpoint = endpoints.endpoint(path.endpoint)
    plane.sendToClient(
      listener: socketOfListener[endpoint.listener], path.address, from: endpoint.source, slot: slot, range: 0..<count)
  }

  private static func takeDatagram(
    _ engine: inout DTLSEngine, into buffers: inout PacketBuffers, slot: Int
  ) -> Int {
    let count = engine.datagram.byteCount
    buffers.copy(engine.datagram, into: slot, at: 0)
    engine.removeDatagram()
    return count
  }

  // MARK: - Time and ends

  /// Sends flights again that were not answered in time.
  mutating func tickAssociations() {
    let handshakes = associations.takeHandshakes()
    for id in handshakes {
      let index = Int(id.index)
      guard associations.places.isTaken(index, generation: id.generation),
        associations.places[index].engine.timeout == 0
      else { continue }
      if associations.places[index].engine.handleTimeout() {
        flushAssociation(index)
      } else {
        closeAssociation(index)
      }
    }
    associations.nextTick =
      handshakes.isEmpty ? .distantFuture : now.instant.advanced(byMilliseconds: Self.handshakeTick)
  }

  /// Closes associations that have been silent too long without having an allocation.
  mutating func sweepAssociations() {
    guard associations.count > 0 else { return }
    for index in 0..<associations.places.upperBound where associations.places.isTaken(index) {
      let silence = now.instant.nanoseconds(since: associations.places[index].lastHeard)
      let isLate =
        !associations.places[index].isEstablished
        && now.instant.nanoseconds(since: associations.places[index].begunAt) > Association.handshakePatience
      if isLate || silence > Self.strangerPatience, !relay.hasAllocation(associations.places[index].path) {
        closeAssociation(index)
      }
    }
  }

  /// Ends an association and the allocation that was made over it.
  private mutating func closeAssociation(_ index: Int, saysGoodbye: Bool = true) {
    let path = associations.places[index].path
    if saysGoodbye {
      associations.places[index].engine.shutdown()
      flushAssociation(index)
    }
    forget(path.address.address)
    // Removed first: ending the allocation must find nobody to write to.
    associations.remove(index)
    relay.connectionClosed(path, now: now)
    runCommands()
  }

  mutating func closeAllAssociations() {
    for index in 0..<associations.places.upperBound where associations.places.isTaken(index) { closeAssociation(index) }
  }
}
