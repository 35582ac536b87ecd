internal import NetIO
internal import NetworkTypes
internal import TLS
internal import TURN

/// The bytes of bound pipes (RFC 6062 section 4.5), in both directions.
extension Shard {
  /// Something has happened at the peer's socket.
  mutating func carry(_ place: Int, _ generation: UInt32, peerIsReady event: DataPlane.Event) {
    if event.isWritable, !flushToPeer(place) {
      endPipe(place)
      runCommands()
      return
    }
    if (event.isReadable || event.isFailed) && tcp.pipes[place].interest.reads { readPeer(place) }
    if tcp.pipes.isTaken(place, generation: generation) { settlePipe(place) }
    runCommands()
  }

  /// Something has happened at the client's connection.
  mutating func dataConnectionReady(_ index: Int, _ end: Connection.PipeEnd, _ event: DataPlane.Event) {
    let place = end.place
    let generation = tcp.pipes.generation(place)
    if event.isWritable, !connections[index].flush(&blocks) {
      endPipe(place)
      runCommands()
      return
    }
    if (event.isReadable || event.isFailed) && end.interest.reads { readClient(index, place) }
    if tcp.pipes.isTaken(place, generation: generation) { settlePipe(place) }
    runCommands()
  }

  // MARK: - Peer to client

  private mutating func readPeer(_ place: Int) {
    // Written on before anything else can use the slot.
    let slot = DataPlane.scratchSlot
    let client = tcp.pipes[place].client
    let index = client.index
    guard connections.isTaken(index, generation: client.generation) else { return endPipe(place) }
    switch Self.read(tcp.pipes[place], into: &plane.buffers, slot: slot, limit: Pipe.readingByteCount(among: tcp.pipes.count)) {
    case .wouldBlock: return
    case .failed: endPipe(place)
    case .ended: tcp.pipes[place].peerHasEnded = true
    case .bytes(let count):
      tcp.pipes[place].lastMoved = now.instant
      connections[index].lastHeard = now.instant
      let pause = relay.pipeCarried(count, tcp.pipes[place].id, toPeer: false, now: now)
      tcp.pipes[place].readsPeerFrom = throttle(place, pause)
      let isTaken = Self.forward(&connections[index], plane.buffers, slot: slot, count: count, &blocks)
      if !isTaken { endPipe(place) }
    }
  }

  private static func read(
    _ pipe: borrowing Pipe, into buffers: inout PacketBuffers, slot: Int, limit: Int
  ) -> StreamSocket.PipeReadResult {
    pipe.socket.readPipe(into: &buffers, slot: slot, limit: limit)
  }

  private static func forward(
    _ connection: inout Connection, _ buffers: borrowing PacketBuffers, slot: Int, count: Int, _ blocks: inout BlockPool
  ) -> Bool {
    connection.writeThrough(buffers.bytes(slot, 0..<count), &blocks)
  }

  // MARK: - Client to peer

  private mutating func readClient(_ index: Int, _ place: Int) {
    let scratch = DataPlane.scratchSlot
    switch Self.read(
      connections[index], into: &plane.buffers, slot: scratch, limit: Pipe.readingByteCount(among: tcp.pipes.count)) {
    case .wouldBlock: return
    case .failed: endPipe(place)
    case .ended: tcp.pipes[place].clientHasEnded = true
    case .bytes(let count):
      connections[index].lastHeard = now.instant
      if connections[index].layer == .tls {
        guard Self.feed(&connections[index], plane.buffers, slot: scratch, 0..<count) else {
          endPipe(place)
          return
        }
        readPipedPlaintext(index, place)
      } else {
        sendToPeer(place, slot: scratch, 0..<count)
      }
    }
  }

  private static func read(
    _ connection: borrowing Connection, into buffers: inout PacketBuffers, slot: Int, limit: Int
  ) -> StreamSocket.PipeReadResult {
    connection.socket.readPipe(into: &buffers, slot: slot, limit: limit)
  }

  /// Takes everything that the engine has decrypted; it holds no more than one reading.
  mutating func readPipedPlaintext(_ index: Int, _ place: Int) {
    let slot = DataPlane.scratchSlot
    let generation = tcp.pipes.generation(place)
    while tcp.pipes.isTaken(place, generation: generation) {
      switch Self.decrypt(&connections[index], into: &plane.buffers, slot: slot, from: 0) {
      case .bytes(let count):
        sendToPeer(place, slot: slot, 0..<count)
      case .wouldBlock:
        // Handshake messages that come along are answered.
        if !connections[index].flush(&blocks) { endPipe(place) }
        return
      case .closed:
        tcp.pipes[place].clientHasEnded = true
        return
      case .failed:
        endPipe(place)
      }
    }
  }

  /// What has come from the client, to the peer: what its socket does not take waits, and the client's is not read.
  mutating func sendToPeer(_ place: Int, slot: Int, _ range: Range<Int>) {
    guard !range.isEmpty else { return }
    tcp.pipes[place].lastMoved = now.instant
    let pause = relay.pipeCarried(range.count, tcp.pipes[place].id, toPeer: true, now: now)
    tcp.pipes[place].readsClientFrom = throttle(place, pause)
    if !Self.write(&tcp.pipes[place], plane.buffers, slot: slot, range, &blocks) { endPipe(place) }
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
    // Never refused: nothing more is read before this has left, and one reading is far below what fits.
    return pipe.toPeer.append(buffers.bytes(slot, (range.lowerBound + sent)..<range.upperBound), &blocks)
  }

  private mutating func flushToPeer(_ place: Int) -> Bool {
    Self.flush(&tcp.pipes[place], &blocks)
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

  /// Passes ends on once everything before them is through, and waits for what can go on.
  mutating func settlePipe(_ place: Int) {
    let index = tcp.pipes[place].client.index
    guard connections.isTaken(index, generation: tcp.pipes[place].client.generation) else {
      endPipe(place)
      return
    }
    if tcp.pipes[place].clientHasEnded, !tcp.pipes[place].peerIsTold, tcp.pipes[place].toPeer.isEmpty {
      tcp.pipes[place].peerIsTold = true
      tcp.pipes[place].socket.endWriting()
    }
    if tcp.pipes[place].peerHasEnded, !tcp.pipes[place].clientIsTold, connections[index].waitingByteCount == 0 {
      tcp.pipes[place].clientIsTold = true
      if !connections[index].endWriting(&blocks) {
        endPipe(place)
        return
      }
    }
    if tcp.pipes[place].peerIsTold, tcp.pipes[place].clientIsTold, connections[index].waitingByteCount == 0 {
      endPipe(place)
      return
    }
    updatePipe(place)
  }

  /// Reads from a side only while the other takes everything.
  mutating func updatePipe(_ place: Int) {
    let index = tcp.pipes[place].client.index
    guard connections.isTaken(index, generation: tcp.pipes[place].client.generation) else { return endPipe(place) }
    let clientWaits = connections[index].waitingByteCount > 0
    let peerWaits = !tcp.pipes[place].toPeer.isEmpty
    var peer = Interest()
    peer.reads = !tcp.pipes[place].peerHasEnded && !clientWaits && tcp.pipes[place].readsPeerFrom <= now.instant
    peer.writes = peerWaits
    peer.isRegistered = peer.reads || peer.writes
    setPeerInterest(place, peer)
    var client = Interest()
    client.reads = !tcp.pipes[place].clientHasEnded && !peerWaits && tcp.pipes[place].readsClientFrom <= now.instant
    client.writes = clientWaits
    client.isRegistered = client.reads || client.writes
    setClientInterest(index, client)
  }

  // MARK: - Bandwidth

  /// Notes that a pipe rests, and until when.
  private mutating func throttle(_ place: Int, _ nanoseconds: UInt64) -> Instant {
    guard nanoseconds > 0 else { return Instant(nanoseconds: 0) }
    let until = Instant(nanoseconds: now.instant.nanoseconds &+ nanoseconds)
    // Once, however many records of one reading go over the limit.
    if !tcp.pipes[place].isThrottled {
      tcp.pipes[place].isThrottled = true
      tcp.throttled.append(tcp.pipes[place].id)
    }
    tcp.nextResume = min(tcp.nextResume ?? until, until)
    return until
  }

  /// Goes on with the pipes whose bandwidth is there again.
  mutating func resumePipes() {
    guard let due = tcp.nextResume, due <= now.instant else { return }
    let waiting = tcp.throttled
    tcp.throttled = []
    tcp.nextResume = nil
    for id in waiting {
      guard let place = tcp.placeOfPipe[id] else { continue }
      tcp.pipes[place].isThrottled = false
      let until = max(tcp.pipes[place].readsPeerFrom, tcp.pipes[place].readsClientFrom)
      let next = [tcp.pipes[place].readsPeerFrom, tcp.pipes[place].readsClientFrom].filter { $0 > now.instant }.min()
      if let next {
        tcp.pipes[place].isThrottled = true
        tcp.throttled.append(id)
        tcp.nextResume = min(tcp.nextResume ?? next, next)
      }
      if until > Instant(nanoseconds: 0) { updatePipe(place) }
    }
    runCommands()
  }
}
