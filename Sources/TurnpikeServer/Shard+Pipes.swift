internal import NetIO
internal import NetworkTypes
internal import System
internal import TLS
internal import TURN
internal import Tables

/// The bytes of bound pipes (RFC 6062 section 4.5), in both directions.
extension Shard {
  /// Handles an event of the peer's socket.
  mutating func peerOfPipeReady(_ pipe: Slot<Pipe>, _ event: DataPlane.Event) {
    let handle = tcp.handle(of: pipe)
    if event.isWritable, !flushToPeer(pipe) {
      endPipe(pipe)
      runCommands()
      return
    }
    if (event.isReadable || event.isFailed) && tcp[pipe].interest.reads { readPeer(pipe) }
    if tcp.slot(of: handle) != nil { settlePipe(pipe) }
    runCommands()
  }

  /// Handles an event of the client's connection.
  mutating func dataConnectionReady(_ connection: Slot<Connection>, _ end: Connection.PipeEnd, _ event: DataPlane.Event)
  {
    let handle = end.pipe
    guard let pipe = tcp.slot(of: handle) else { return }
    if event.isWritable, !streams[connection].flush(&blocks) {
      endPipe(pipe)
      runCommands()
      return
    }
    if (event.isReadable || event.isFailed) && end.interest.reads { readClient(connection, pipe) }
    if tcp.slot(of: handle) != nil { settlePipe(pipe) }
    runCommands()
  }

  /// The client's connection of a pipe; nil if it is closed.
  private func dataConnection(of pipe: Slot<Pipe>) -> Slot<Connection>? {
    tcp[pipe].client.flatMap { streams.slot(of: $0) }
  }

  // MARK: - Peer to client

  private mutating func readPeer(_ pipe: Slot<Pipe>) {
    // The bytes are passed on before the slot is used again.
    let slot = DataPlane.scratchSlot
    guard let connection = dataConnection(of: pipe) else { return endPipe(pipe) }
    switch Self.read(
      tcp[pipe], into: &plane.buffers, slot: slot, limit: Pipe.readingByteCount(among: tcp.pipeCount))
    {
    case .wouldBlock: return
    case .failed: endPipe(pipe)
    case .closed: tcp[pipe].peerHasEnded = true
    case .bytes(let count):
      tcp[pipe].lastMoved = now.instant
      streams[connection].lastHeard = now.instant
      let pause = relay.pipeCarried(count, tcp[pipe].id, toPeer: false, now: now)
      tcp.throttle(pipe, .peer, for: pause, now: now.instant)
      let isTaken = Self.forward(&streams[connection], plane.buffers, slot: slot, count: count, &blocks)
      if !isTaken { endPipe(pipe) }
    }
  }

  private static func read(
    _ pipe: borrowing Pipe, into buffers: inout PacketBuffers, slot: Int, limit: Int
  ) -> ReadResult<Errno> {
    pipe.socket.read(into: &buffers, slot: slot, limit: limit)
  }

  private static func forward(
    _ connection: inout Connection, _ buffers: borrowing PacketBuffers, slot: Int, count: Int, _ blocks: inout BlockPool
  ) -> Bool {
    connection.writeThrough(buffers.bytes(slot, 0..<count), &blocks)
  }

  // MARK: - Client to peer

  private mutating func readClient(_ connection: Slot<Connection>, _ pipe: Slot<Pipe>) {
    let scratch = DataPlane.scratchSlot
    switch Self.read(
      streams[connection], into: &plane.buffers, slot: scratch, limit: Pipe.readingByteCount(among: tcp.pipeCount))
    {
    case .wouldBlock: return
    case .failed: endPipe(pipe)
    case .closed: tcp[pipe].clientHasEnded = true
    case .bytes(let count):
      streams[connection].lastHeard = now.instant
      if streams[connection].layer == .tls {
        guard Self.feed(&streams[connection], plane.buffers, slot: scratch, 0..<count) else {
          endPipe(pipe)
          return
        }
        readPipedPlaintext(connection, pipe)
      } else {
        sendToPeer(pipe, slot: scratch, 0..<count)
      }
    }
  }

  private static func read(
    _ connection: borrowing Connection, into buffers: inout PacketBuffers, slot: Int, limit: Int
  ) -> ReadResult<Errno> {
    connection.socket.read(into: &buffers, slot: slot, limit: limit)
  }

  /// Passes on everything that the engine has decrypted, at most the bytes of one read.
  mutating func readPipedPlaintext(_ connection: Slot<Connection>, _ pipe: Slot<Pipe>) {
    let slot = DataPlane.scratchSlot
    let handle = tcp.handle(of: pipe)
    while tcp.slot(of: handle) != nil {
      switch Self.decrypt(&streams[connection], into: &plane.buffers, slot: slot, from: 0) {
      case .bytes(let count):
        sendToPeer(pipe, slot: slot, 0..<count)
      case .wouldBlock:
        // The flush sends answers to handshake messages among the records.
        if !streams[connection].flush(&blocks) { endPipe(pipe) }
        return
      case .closed:
        tcp[pipe].clientHasEnded = true
        return
      case .failed:
        endPipe(pipe)
      }
    }
  }

  /// Sends a client's bytes to the peer. Bytes that the peer's socket does not accept wait, and the client is not read
  /// meanwhile.
  mutating func sendToPeer(_ pipe: Slot<Pipe>, slot: Int, _ range: Range<Int>) {
    guard !range.isEmpty else { return }
    tcp[pipe].lastMoved = now.instant
    let pause = relay.pipeCarried(range.count, tcp[pipe].id, toPeer: true, now: now)
    tcp.throttle(pipe, .client, for: pause, now: now.instant)
    if !Self.write(&tcp[pipe], plane.buffers, slot: slot, range, &blocks) { endPipe(pipe) }
  }

  private static func write(
    _ pipe: inout Pipe, _ buffers: borrowing PacketBuffers, slot: Int, _ range: Range<Int>, _ blocks: inout BlockPool
  ) -> Bool {
    var sent = 0
    if pipe.toPeer.isEmpty {
      guard let count = pipe.socket.write(buffers.bytes(slot, range)) else { return false }
      sent = count
    }
    guard sent < range.count else { return true }
    // This cannot fail: nothing more is read before these bytes are written, and one read is much smaller than the
    // largest block.
    return pipe.toPeer.append(buffers.bytes(slot, (range.lowerBound + sent)..<range.upperBound), &blocks)
  }

  private mutating func flushToPeer(_ pipe: Slot<Pipe>) -> Bool {
    Self.flush(&tcp[pipe], &blocks)
  }

  private static func flush(_ pipe: inout Pipe, _ blocks: inout BlockPool) -> Bool {
    while !pipe.toPeer.isEmpty {
      guard let written = pipe.socket.write(pipe.toPeer.bytes) else { return false }
      if written == 0 { return true }
      pipe.toPeer.consume(written, &blocks)
    }
    return true
  }

  // MARK: - Ends and interest

  /// Passes on the end of a side after all earlier bytes are written, and closes the pipe after both sides have ended.
  mutating func settlePipe(_ pipe: Slot<Pipe>) {
    guard let connection = dataConnection(of: pipe) else { return endPipe(pipe) }
    if tcp[pipe].clientHasEnded, !tcp[pipe].peerIsTold, tcp[pipe].toPeer.isEmpty {
      tcp[pipe].peerIsTold = true
      tcp[pipe].socket.endWriting()
    }
    if tcp[pipe].peerHasEnded, !tcp[pipe].clientIsTold, streams[connection].waitingByteCount == 0 {
      tcp[pipe].clientIsTold = true
      if !streams[connection].endWriting(&blocks) {
        endPipe(pipe)
        return
      }
    }
    if tcp[pipe].peerIsTold, tcp[pipe].clientIsTold, streams[connection].waitingByteCount == 0 {
      endPipe(pipe)
      return
    }
    updatePipe(pipe)
  }

  /// Updates the loop's interest: a side is read only while the other accepts everything.
  mutating func updatePipe(_ pipe: Slot<Pipe>) {
    guard let connection = dataConnection(of: pipe) else { return endPipe(pipe) }
    let clientWaits = streams[connection].waitingByteCount > 0
    let peerWaits = !tcp[pipe].toPeer.isEmpty
    var peer = Interest()
    peer.reads = !tcp[pipe].peerHasEnded && !clientWaits && tcp[pipe].readsPeerFrom <= now.instant
    peer.writes = peerWaits
    peer.isRegistered = peer.reads || peer.writes
    setPeerInterest(pipe, peer)
    var client = Interest()
    client.reads = !tcp[pipe].clientHasEnded && !peerWaits && tcp[pipe].readsClientFrom <= now.instant
    client.writes = streams[connection].lacksRoom
    client.isRegistered = client.reads || client.writes
    setClientInterest(connection, client)
  }

  // MARK: - Bandwidth

  /// Resumes the pipes whose allocations have bandwidth again.
  mutating func resumePipes() {
    guard let due = tcp.nextResume, due <= now.instant else { return }
    for handle in tcp.takeResumable(now: now.instant) {
      if let pipe = tcp.slot(of: handle) { updatePipe(pipe) }
    }
    runCommands()
  }
}
