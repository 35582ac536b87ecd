internal import NetIO
internal import NetworkTypes
internal import TURN

/// UDP: what clients and peers send, and where what the relay has decided goes.
extension Shard {
  mutating func receiveFromClients(_ place: Int, _ event: DataPlane.Event) {
    guard plane.listeners.isTaken(place) else { return }
    let isWildcard = plane.listeners[place].isWildcard
    let realm = plan.listeners[listenerOfDatagramSocket[place]].realm
    let slots = plane.receive(event, plane.listenerDescriptor(place), limit: DataPlane.batchSlots)
    for slot in slots {
      if relay.needsForesight, slot + Self.foresight < slots.upperBound { foresee(slot + Self.foresight, at: place) }
      guard let source = plane.batch.source(slot) else { continue }
      let ancillary = plane.batch.ancillary(slot)
      let local = isWildcard ? ancillary.localAddress : nil
      guard let endpoint = endpoints.id(listener: listenerOfDatagramSocket[place], source: local) else { continue }
      let path = ClientPath(address: source, endpoint: endpoint, transport: .udp, realm: realm)
      let count = plane.batch.byteCount(slot)
      noteRun(place, source, count)
      let segment = ancillary.segmentByteCount
      if watchOfDatagramSocket[place].note(ancillary.trafficClass) {
        watchOfDatagramSocket[place].switchOver(plane.listenerDescriptor(place), source.family)
      }
      var base = 0
      // Once for most; a run that the kernel has merged is taken apart again.
      repeat {
        let end = segment > 0 ? min(base + segment, count) : count
        plane.sends.trafficClass = ancillary.trafficClass
        if Associations.isSecure(plane.buffers.bytes(slot, base..<end)) {
          receiveSecureDatagram(slot, base..<end, from: path)
        } else if !acceptsPlain[place] {
          relay.countDrop(.notEncrypted)
        } else {
          let disposition = relay.receive(slot: slot, base..<end, in: plane.buffers, from: path, now: now)
          act(disposition, on: slot, base: base, isPart: segment > 0, from: path)
        }
        if relay.hasCommands { runCommands() }
        base = end
      } while base < count
    }
    plane.sends.trafficClass = 0
  }

  /// So many datagrams ahead the processor is told what will be looked up: long enough for memory to answer.
  static let foresight = 8

  /// A datagram in this slot is to be received soon.
  @inline(__always)
  mutating func foresee(_ slot: Int, at place: Int) {
    guard plane.listeners.isTaken(place), let source = plane.batch.source(slot) else { return }
    let local = plane.listeners[place].isWildcard ? plane.batch.ancillary(slot).localAddress : nil
    guard let endpoint = endpoints.id(listener: listenerOfDatagramSocket[place], source: local) else { return }
    relay.foresee(ClientPath(address: source, endpoint: endpoint, transport: .udp))
  }

  /// A listening socket whose clients send in bursts has the kernel merge them from then on.
  @inline(__always)
  private mutating func noteRun(_ place: Int, _ source: SocketAddress, _ byteCount: Int) {
    guard runsOfDatagramSocket[place] < Self.runsBeforeMerging else { return }
    if byteCount == lastArrival.byteCount, source == lastArrival.source {
      runsOfDatagramSocket[place] += 1
      if runsOfDatagramSocket[place] == Self.runsBeforeMerging {
        _ = UDPOffload.enableReceiving(plane.listenerDescriptor(place))
      }
    }
    lastArrival = (source, byteCount)
  }

  private static let runsBeforeMerging = 256

  mutating func receiveFromPeers(_ id: RecordID, _ event: DataPlane.Event) {
    guard let descriptor = plane.relayPorts.descriptor(id.index, generation: id.generation) else { return }
    let appetite = plane.relayPorts.appetite(id.index)
    let slots = plane.receive(event, descriptor, limit: appetite)
    plane.learn(id, asked: appetite, slots)
    for slot in slots {
      guard let source = plane.batch.source(slot) else { continue }
      let count = plane.batch.byteCount(slot)
      let ancillary = plane.batch.ancillary(slot)
      plane.relayPorts.note(id.index, trafficClass: ancillary.trafficClass, source.family)
      let segment = ancillary.segmentByteCount
      var base = 0
      repeat {
        let end = segment > 0 ? min(base + segment, count) : count
        plane.sends.trafficClass = ancillary.trafficClass
        let disposition = relay.receive(
          slot: slot, base..<end, in: plane.buffers, fromPeer: source, on: id, now: now)
        act(disposition, on: slot, base: base, isPart: segment > 0, from: nil)
        if relay.hasCommands { runCommands() }
        base = end
      } while base < count
    }
    plane.sends.trafficClass = 0
  }

  /// Carries out what the relay has decided for the datagram or frame in a slot.
  ///
  /// - Parameters:
  ///   - base: where in the slot the message begins that the disposition speaks of.
  ///   - isPart: whether other messages lie around it, so that nothing may be written there.
  @inline(__always)
  mutating func act(
    _ disposition: Disposition, on slot: Int, base: Int, isPart: Bool, from client: ClientPath?
  ) {
    switch disposition {
    case .drop, .waiting:
      break
    case .toPeer(let port, let peer, let offset, let count):
      _ = plane.sendToPeer(port, peer, slot: slot, range: (base + offset)..<(base + offset + count))
    case .toShard(let shard, let port, let address, let offset, let count):
      pass(to: shard, from: port, address, slot: slot, (base + offset)..<(base + offset + count))
    case .toClient(let path, let offset, let count, let padding):
      let range = (base + offset)..<(base + offset + count)
      if path.transport.isStream {
        queueMedia(path.connection, slot: slot, range, padding: padding)
      } else if path.transport == .dtls {
        sendToAssociation(path.connection, slot: slot, range, padding: padding)
      } else if isPart && (padding > 0 || relay.replyByteCount > offset) {
        // Its header or padding would be written over a neighbour.
        sendPart(path, slot: slot, range, padding: padding)
      } else {
        let framed = Self.frame(relay, in: &plane.buffers, slot: slot, range, padding: padding)
        let endpoint = endpoints.endpoint(path.endpoint)
        plane.sendToClient(
          listener: socketOfListener[endpoint.listener], path.address, from: endpoint.source, slot: slot, range: framed)
      }
    case .reply:
      guard let client else { return }
      // An answer is the server's own: nothing of the request's IP header is taken over.
      plane.sends.trafficClass = 0
      // What the request has changed is done before its answer leaves: a freed place in a quota is free, a deleted
      // allocation's port closed.
      if isPart || client.connection != .none {
        let bytes = relay.replyBytes()
        runCommands()
        deliver(bytes, to: client)
      } else {
        let count = Self.copyReply(relay, into: &plane.buffers, slot: slot)
        runCommands()
        let endpoint = endpoints.endpoint(client.endpoint)
        plane.sendToClient(
          listener: socketOfListener[endpoint.listener], client.address, from: endpoint.source, slot: slot,
          range: 0..<count)
      }
    }
  }

  /// A part of a merged run to a client: its header lies elsewhere.
  private mutating func sendPart(_ path: ClientPath, slot: Int, _ range: Range<Int>, padding: Int) {
    let endpoint = endpoints.endpoint(path.endpoint)
    if plane.sends.isFull { plane.flush() }
    Self.appendPart(
      &plane.sends, relay, plane.buffers, plane.listenerDescriptor(socketOfListener[endpoint.listener]), slot: slot,
      range, padding: padding, to: path.address, from: endpoint.source)
  }

  // The relay's reply and the buffers are parts of one value: these take both apart, so that one can be read while
  // the other is written.

  @inline(__always)
  private static func frame(
    _ relay: borrowing Relay, in buffers: inout PacketBuffers, slot: Int, _ range: Range<Int>, padding: Int
  ) -> Range<Int> {
    buffers.frame(slot, range, prefix: relay.reply, padding: padding)
  }

  private static func appendPart(
    _ sends: inout SendBatch, _ relay: borrowing Relay, _ buffers: borrowing PacketBuffers, _ descriptor: Int32,
    slot: Int, _ range: Range<Int>, padding: Int, to client: SocketAddress, from source: IPAddress?
  ) {
    sends.append(
      descriptor, prefix: relay.reply, buffers, slot: slot, range: range, padding: padding, to: client, from: source)
  }

  @inline(__always)
  private static func copyReply(_ relay: borrowing Relay, into buffers: inout PacketBuffers, slot: Int) -> Int {
    buffers.copy(relay.reply, into: slot, at: 0)
    return relay.reply.byteCount
  }
}
