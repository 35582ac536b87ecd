internal import Log
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import System
internal import TLS
internal import TURN
internal import Tables

/// DTLS on UDP sockets (RFC 7350), distinguished from STUN by the first byte. A client gets an association, and so
/// memory, only after it has returned its cookie. Each record carries one message.
extension Shard {
  mutating func receiveSecureDatagram(_ slot: Int, _ range: Range<Int>, from path: ClientPath, acceptsSecure: Bool) {
    guard acceptsSecure else { return relay.countDrop(.notSTUN) }
    let client = SecureDatagramClients.Client(path)
    if let association = secureDatagrams.find(client) {
      // A ClientHello on an association may come from a restarted client (RFC 6347 section 4.2.8): the old association
      // stays until the client has returned its new cookie.
      let startsAnew =
        secureDatagrams[association].isEstablished
        && SecureDatagramClients.isHello(plane.buffers.bytes(slot, range))
        && SecureDatagramClients.helloRandom(plane.buffers.bytes(slot, range))
          != secureDatagrams[association].helloRandom
      if !startsAnew { return readAssociation(association, slot, range) }
    } else if !foreign.clients.isEmpty, forwardToPredecessor(client, slot, range) {
      return
    }
    handleHello(client, path, slot, range)
  }

  /// Handles a datagram of a client without an association, or of a restarted client.
  private mutating func handleHello(
    _ client: SecureDatagramClients.Client, _ path: ClientPath, _ slot: Int, _ range: Range<Int>
  ) {
    guard !relay.isBanned(path.address.address) else { return relay.countDrop(.banned) }
    guard SecureDatagramClients.isHello(plane.buffers.bytes(slot, range)) else { return relay.countDrop(.malformed) }
    // Each ClientHello costs a MAC, and one without a cookie also an answer.
    let hasCookie = SecureDatagramClients.hasCookie(plane.buffers.bytes(slot, range))
    if let cause = plan.limiter.takeHello(path.address, hasCookie: hasCookie, now: now.instant) {
      return relay.countDrop(cause, of: path, now: now)
    }
    let random = SecureDatagramClients.helloRandom(plane.buffers.bytes(slot, range))
    switch Self.listen(&secureDatagrams, plane.buffers, slot, range, from: client, now: now.instant) {
    case .ignored:
      relay.countDrop(.malformed)
    case .cookieAsked:
      for answer in secureDatagrams.takeAnswers() {
        let slot = plane.replySlot()
        plane.buffers.copy(answer.span.rawBytes, into: slot, at: 0)
        sendDatagram(slot, 0..<answer.count, to: path)
      }
    case .verified:
      if let old = secureDatagrams.find(client) { closeAssociation(old, saysGoodbye: false) }
      foreign.clients.remove(client)
      // The handshake is refused now; the client retransmits its ClientHello after a second.
      guard makeRoom(for: path.address.address) else { return secureDatagrams.reject() }
      guard let association = secureDatagrams.adopt(path, helloRandom: random, now: now.instant) else {
        plan.connections.release(path.address.address, isStranger: false)
        return
      }
      let handle = secureDatagrams.handle(of: association)
      settleAssociation(association)
      if secureDatagrams.slot(of: handle) != nil { sendAway(association) }
    }
  }

  /// Counts one more association of an address; false if it must not begin.
  private mutating func makeRoom(for address: IPAddress) -> Bool {
    guard secureDatagrams.count < SecureDatagramClients.limit else {
      countLimit(.associations, address)
      return false
    }
    guard plan.connections.admit(address, isStream: false) == nil else {
      countLimit(.connectionsPerAddress, address)
      return false
    }
    if let victim = secureDatagrams.victim(for: address) {
      countLimit(.handshakes, address)
      if let association = secureDatagrams.slot(of: victim) { closeAssociation(association) }
    }
    return true
  }

  private static func listen(
    _ clients: inout SecureDatagramClients, _ buffers: borrowing PacketBuffers, _ slot: Int, _ range: Range<Int>,
    from client: SecureDatagramClients.Client, now: Instant
  ) -> DTLSEngine.ListenResult {
    clients.listen(buffers.bytes(slot, range), from: client, now: now)
  }

  // MARK: - Reading

  private mutating func readAssociation(_ association: Slot<Association>, _ slot: Int, _ range: Range<Int>) {
    let handle = secureDatagrams.handle(of: association)
    if !secureDatagrams[association].isEstablished {
      // DTLS drops invalid records without an error, so the number of datagrams is limited.
      secureDatagrams[association].handshakeDatagrams += 1
      let hasCertificate = streams.context?.requiresClientCertificate == true
      let limit = hasCertificate ? Association.certificateDatagramLimit : Association.handshakeDatagramLimit
      let waitingLimit = hasCertificate ? Association.certificateWaitingLimit : Association.waitingLimit
      guard secureDatagrams[association].handshakeDatagrams <= limit else {
        countLimit(.handshakeDatagrams, secureDatagrams[association].path.address.address)
        return closeAssociation(association)
      }
      guard range.count <= Association.longestHandshakeDatagram,
        secureDatagrams[association].waiting.count < waitingLimit
      else { return relay.countDrop(.tooManyWaiting) }
      secureDatagrams[association].waiting.append(plane.buffers.bytes(slot, range).copied())
      settleAssociation(association)
      if secureDatagrams.slot(of: handle) != nil, secureDatagrams[association].job == nil { sendAway(association) }
      return
    }
    guard Self.feed(&secureDatagrams[association], plane.buffers, slot, range) else { return }
    readPlaintext(association)
    if secureDatagrams.slot(of: handle) != nil { settleAssociation(association) }
  }

  private static func feed(
    _ association: inout Association, _ buffers: borrowing PacketBuffers, _ slot: Int, _ range: Range<Int>
  ) -> Bool {
    association.engine?.receive(buffers.bytes(slot, range)) ?? false
  }

  /// Reads everything that the engine has decrypted: the records of one datagram, and early records that OpenSSL has
  /// kept until the end of the handshake.
  mutating func readPlaintext(_ association: Slot<Association>) {
    let handle = secureDatagrams.handle(of: association)
    secureDatagrams[association].lastHeard = now.instant
    var slot = plane.replySlot()
    var offset = 0
    var isOver = false
    reading: while true {
      if offset + DTLSEngine.messageLimit > PacketBuffers.capacity {
        slot = plane.replySlot()
        offset = 0
      }
      switch Self.decrypt(&secureDatagrams[association], into: &plane.buffers, slot, offset..<PacketBuffers.capacity) {
      case .bytes(let count):
        updateEstablished(association)
        let path = secureDatagrams[association].path
        let disposition = relay.receive(slot: slot, offset..<(offset + count), in: plane.buffers, from: path, now: now)
        act(disposition, on: slot, base: offset, isPart: true, from: path)
        runCommands()
        // The answer may have closed the association.
        guard secureDatagrams.slot(of: handle) != nil else { return }
        offset += count
      case .wouldBlock: break reading
      case .closed:
        isOver = true
        break reading
      case .failed(let error):
        recordRefusal(error, by: secureDatagrams[association].path)
        isOver = true
        break reading
      }
    }
    updateEstablished(association)
    if isOver { closeAssociation(association) } else { flushAssociation(association) }
  }

  /// Records the end of the handshake; the server name that the client requested may choose its realm.
  private mutating func updateEstablished(_ association: Slot<Association>) {
    guard !secureDatagrams[association].isEstablished, secureDatagrams[association].hasFinished == true else { return }
    secureDatagrams.setEstablished(association)
    guard !serverNames.isEmpty,
      let realm = serverNames.realm(of: secureDatagrams[association].engine?.requestedServerName ?? nil)
    else { return }
    secureDatagrams[association].path.realm = realm
  }

  private static func decrypt(
    _ association: inout Association, into buffers: inout PacketBuffers, _ slot: Int, _ range: Range<Int>
  ) -> ReadResult<TLSError> {
    var room = buffers.mutableBytes(slot, range)
    return association.engine?.read(into: &room) ?? .wouldBlock
  }

  // MARK: - Writing

  /// Sends a peer's data to a client's association: the relay's header, a part of a slot, and padding.
  mutating func sendToAssociation(_ handle: Handle<Association>, slot: Int, _ range: Range<Int>, padding: Int) {
    guard let association = secureDatagrams.slot(of: handle) else { return }
    finishWrite(
      association,
      Self.write(&secureDatagrams[association].engine, relay, &plane.buffers, slot, range, padding))
  }

  /// Sends a message to a client's association.
  mutating func sendToAssociation(_ handle: Handle<Association>, _ bytes: RawSpan) {
    guard let association = secureDatagrams.slot(of: handle) else { return }
    finishWrite(association, secureDatagrams[association].engine?.write(bytes) ?? .wouldBlock)
  }

  private static func write(
    _ engine: inout DTLSEngine?, _ relay: borrowing Relay, _ buffers: inout PacketBuffers, _ slot: Int,
    _ range: Range<Int>, _ padding: Int
  ) -> TLSEngine.WriteResult {
    let whole = buffers.assemble(in: DataPlane.scratchSlot, prefix: relay.reply, slot: slot, range, padding: padding)
    return engine?.write(buffers.bytes(DataPlane.scratchSlot, 0..<whole)) ?? .wouldBlock
  }

  private mutating func finishWrite(_ association: Slot<Association>, _ result: TLSEngine.WriteResult) {
    switch result {
    case .written: flushAssociation(association)
    // The message exceeds a record; or the association has ended, and `sweepAssociations` closes it.
    case .failed, .wouldBlock: relay.countDrop(.tooLarge)
    }
  }

  private mutating func flushAssociation(_ association: Slot<Association>) {
    let path = secureDatagrams[association].path
    while secureDatagrams[association].engine?.hasOutput == true {
      let slot = plane.replySlot()
      let count = secureDatagrams[association].engine?.copyDatagram(into: &plane.buffers, slot: slot) ?? 0
      sendDatagram(slot, 0..<count, to: path)
    }
  }

  // MARK: - Timers and ends

  /// Retransmits flights that were not answered in time.
  mutating func retransmitHandshakes() {
    for handle in secureDatagrams.takeHandshakes(now: now.instant) {
      guard let association = secureDatagrams.slot(of: handle), secureDatagrams[association].mustRetransmit else {
        continue
      }
      if secureDatagrams[association].engine?.handleTimeout() == true {
        flushAssociation(association)
      } else {
        closeAssociation(association)
      }
    }
  }

  /// Closes associations without an allocation after too long silence, or whose handshakes take too long.
  mutating func sweepAssociations() {
    var walk = SlotWalk<Association>()
    while let association = secureDatagrams.next(&walk) {
      let silence = now.instant.duration(since: secureDatagrams[association].lastHeard)
      let isLate =
        !secureDatagrams[association].isEstablished
        && now.instant.duration(since: secureDatagrams[association].begunAt) > Association.handshakeTimeout
      if isLate || silence > StreamClients.strangerTimeout, !relay.hasAllocation(secureDatagrams[association].path) {
        closeAssociation(association)
      }
    }
  }

  /// Ends an association and the allocation that was made over it.
  mutating func closeAssociation(_ association: Slot<Association>, saysGoodbye: Bool = true) {
    let path = secureDatagrams[association].path
    if saysGoodbye {
      secureDatagrams[association].engine?.shutdown()
      flushAssociation(association)
    }
    secureDatagrams[association].job?.abandon()
    plan.strangersMemory.release(secureDatagrams[association].charge)
    secureDatagrams.charged.change(path.address.address, by: -secureDatagrams[association].charge)
    plan.connections.release(path.address.address, isStranger: false)
    // The association is removed first: the end of the allocation must not write to it.
    secureDatagrams.remove(association)
    relay.connectionClosed(path, now: now)
    runCommands()
  }

  mutating func closeAllAssociations() {
    var walk = SlotWalk<Association>()
    while let association = secureDatagrams.next(&walk) {
      closeAssociation(association)
    }
  }
}

extension DTLSEngine {
  /// Copies the next output datagram into a slot, and returns its length.
  fileprivate mutating func copyDatagram(into buffers: inout PacketBuffers, slot: Int) -> Int {
    let count = datagram.byteCount
    buffers.copy(datagram, into: slot, at: 0)
    removeDatagram()
    return count
  }
}
