internal import NetIO
internal import NetworkTypes
internal import System
internal import TLS
internal import TURN
internal import Tables

/// Handshakes: the expensive operations run on a handshake thread, which gets the engine and returns it.
extension Shard {
  // MARK: - TLS

  /// Handles bytes of a ClientHello; when it is complete, the handshake thread makes an engine.
  mutating func readHello(_ connection: Slot<Connection>, slot: Int, count: Int) {
    switch ClientHelloForm(plane.buffers.bytes(slot, 0..<count)) {
    case .incomplete: keepPartialFrame(connection, slot: slot, 0..<count, from: 0)
    case .implausible: close(connection)
    case .whole:
      guard let context = streams.context else { return close(connection) }
      streams[connection].beginTLS()
      streams[connection].handshakeSteps += 1
      let job = HandshakeJob(
        streams.handle(of: connection), streams[connection].path.address.address, context,
        hello: plane.buffers.bytes(slot, 0..<count).copied(), descriptor: streams[connection].socket.rawValue,
        answers: plan.mailbox)
      submit(job, of: connection)
    }
  }

  /// Sends a connection's engine to the handshake thread. The socket is not read until the engine is back.
  mutating func sendAway(_ connection: Slot<Connection>) {
    streams[connection].handshakeSteps += 1
    guard streams[connection].handshakeSteps <= Connection.handshakeStepLimit else {
      countLimit(.handshakeSteps, streams[connection].path.address.address)
      close(connection)
      return
    }
    guard let engine = streams[connection].tls.take() else { return }
    let job = HandshakeJob(
      streams.handle(of: connection), streams[connection].path.address.address, engine,
      descriptor: streams[connection].socket.rawValue, answers: plan.mailbox)
    submit(job, of: connection)
  }

  private mutating func submit(_ job: HandshakeJob, of connection: Slot<Connection>) {
    streams[connection].job = job
    plan.handshakes.submit(job)
  }

  /// Takes back the engine of a connection that became ready, if the handshake thread has sent its flight. False if the
  /// connection cannot be read now: it leaves the loop until the engine is back, or is closed.
  mutating func fetchEngine(_ job: HandshakeJob, of connection: Slot<Connection>) -> Bool {
    guard job.unpark() else {
      plane.loop.remove(streams[connection].socket.rawValue)
      streams[connection].hasLeftLoop = true
      return false
    }
    streams[connection].job = nil
    guard let engine = job.takeStreamEngine() else {
      close(connection)
      return false
    }
    streams[connection].tls = consume engine
    return true
  }

  /// Lets the handshake thread free the engine of a connection that ends.
  mutating func discardEngine(of connection: Slot<Connection>) {
    if let job = streams[connection].job, job.isParked { streams[connection].tls = job.takeStreamEngine() }
    guard let engine = streams[connection].tls.take() else { return }
    streams.hasDiscarded = true
    plan.handshakes.discard(DiscardedEngine(engine))
  }

  /// Removes a closed connection. The handshake thread may be writing to its socket, which stays open then.
  mutating func removeClosed(_ connection: Slot<Connection>) {
    let job = streams[connection].job
    if job != nil { plane.loop.remove(streams[connection].socket.rawValue) }
    let removed = streams.remove(connection)
    job?.keep(removed.socket)
  }

  /// Takes back an engine, or handles the refusal of its job.
  mutating func takeBack(_ job: HandshakeJob) {
    switch job.target {
    case .connection(let handle): takeBack(job, handle)
    case .association(let handle): takeBack(job, handle)
    }
  }

  private mutating func takeBack(_ job: HandshakeJob, _ handle: Handle<Connection>) {
    guard let connection = streams.slot(of: handle), streams[connection].job == job else { return }
    streams[connection].job = nil
    guard let engine = job.takeStreamEngine() else {
      countLimit(.handshakeQueue, job.client)
      close(connection)
      return
    }
    streams[connection].tls = consume engine
    guard returnToLoop(connection, handle) else { return close(connection) }
    readPlaintext(connection, handle, slot: plane.streamSlot())
    guard streams.slot(of: handle) != nil else { return }
    if !streams[connection].isShakingHands {
      // The timeout of the first message begins.
      streams[connection].lastHeard = now.instant
      streams.unfinished.remove(handle, from: job.client)
    }
    settleStranger(connection)
  }

  /// False if the kernel refuses.
  private mutating func returnToLoop(_ connection: Slot<Connection>, _ handle: Handle<Connection>) -> Bool {
    guard streams[connection].hasLeftLoop else { return true }
    streams[connection].hasLeftLoop = false
    let token = EventToken(kind: EventKind.connection, handle)
    let waits = streams[connection].waitsForRoom
    do throws(Errno) { try plane.loop.add(streams[connection].socket.rawValue, token, writes: waits) } catch {
      return false
    }
    return true
  }

  // MARK: - DTLS

  /// Sends an association's engine to the handshake thread, with the datagrams that wait for it.
  mutating func sendAway(_ association: Slot<Association>) {
    guard let engine = secureDatagrams[association].engine.take() else { return }
    let client = secureDatagrams[association].path.address.address
    let datagrams = secureDatagrams[association].lend()
    let job = HandshakeJob(
      secureDatagrams.handle(of: association), client, engine, datagrams: datagrams, answers: plan.mailbox)
    secureDatagrams[association].job = job
    plan.handshakes.submit(job)
  }

  private mutating func takeBack(_ job: HandshakeJob, _ handle: Handle<Association>) {
    guard let association = secureDatagrams.slot(of: handle), secureDatagrams[association].job == job else { return }
    secureDatagrams[association].job = nil
    secureDatagrams[association].lentByteCount = 0
    guard let engine = job.takeDatagramEngine() else {
      countLimit(.handshakeQueue, job.client)
      closeAssociation(association)
      return
    }
    secureDatagrams[association].engine = consume engine
    readPlaintext(association)
    if secureDatagrams.slot(of: handle) != nil { settleAssociation(association) }
    guard secureDatagrams.slot(of: handle) != nil else { return }
    let waiting = secureDatagrams[association].waiting
    guard !waiting.isEmpty else { return }
    if !secureDatagrams[association].isEstablished { return sendAway(association) }
    secureDatagrams[association].waiting = []
    for datagram in waiting where secureDatagrams.slot(of: handle) != nil {
      _ = secureDatagrams[association].engine?.receive(datagram.span.rawBytes)
      readPlaintext(association)
    }
    if secureDatagrams.slot(of: handle) != nil { settleAssociation(association) }
  }
}
