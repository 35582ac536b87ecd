internal import NetIO
internal import NetworkTypes
internal import TURN
internal import Tables

/// UDP: datagrams of clients and peers, and the relay's decisions about them.
extension Shard {
  mutating func receiveFromClients(_ socket: Slot<UDPSocket>, _ event: DataPlane.Event) {
    guard datagramListeners.contains(socket) else { return }
    let listener = datagramListeners[socket]
    let slots = plane.receive(event, plane.listenerDescriptor(socket), limit: DataPlane.batchSlots)
    for slot in slots {
      if relay.shouldPrefetch, slot + Self.prefetchDistance < slots.upperBound {
        prefetch(slot + Self.prefetchDistance, of: socket)
      }
      guard let source = plane.batch.source(slot) else { continue }
      let ancillary = plane.batch.ancillary(slot)
      let local = listener.isWildcard ? ancillary.localAddress : nil
      guard let endpoint = endpoints.id(listener: listener.number, source: local) else {
        countLimit(.endpoints, source.address)
        continue
      }
      let path = ClientPath(address: source, endpoint: endpoint, transport: .udp, realm: listener.realm)
      let count = plane.batch.byteCount(slot)
      watch(socket, source, count, ancillary.trafficClass)
      let segment = ancillary.segmentByteCount
      var base = 0
      // The loop has one pass for most datagrams; merged datagrams are split again.
      repeat {
        let end = segment > 0 ? min(base + segment, count) : count
        plane.sends.trafficClass = ancillary.trafficClass
        if SecureDatagramClients.isSecure(plane.buffers.bytes(slot, base..<end)) {
          receiveSecureDatagram(slot, base..<end, from: path, acceptsSecure: listener.acceptsSecure)
        } else if !listener.acceptsPlain {
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

  /// Switches UDP_GRO and traffic class reports of a listener's socket, depending on its datagrams.
  @inline(__always)
  private mutating func watch(
    _ socket: Slot<UDPSocket>, _ source: SocketAddress, _ byteCount: Int, _ trafficClass: UInt8
  ) {
    if datagramListeners.countRun(socket, source, byteCount) {
      _ = UDPOffload.enableReceiving(plane.listenerDescriptor(socket))
    }
    if datagramListeners[socket].count(trafficClass: trafficClass) {
      datagramListeners[socket].switchOver(plane.listenerDescriptor(socket), source.family)
    }
  }

  /// Prefetch distance in datagrams, long enough for a memory access.
  static let prefetchDistance = 8

  /// Prefetches the table entry for the datagram in this slot.
  @inline(__always)
  mutating func prefetch(_ slot: Int, of socket: Slot<UDPSocket>) {
    guard datagramListeners.contains(socket), let source = plane.batch.source(slot) else { return }
    let local = datagramListeners[socket].isWildcard ? plane.batch.ancillary(slot).localAddress : nil
    guard let endpoint = endpoints.id(listener: datagramListeners[socket].number, source: local) else { return }
    relay.prefetch(ClientPath(address: source, endpoint: endpoint, transport: .udp))
  }

  mutating func receiveFromPeers(_ id: Handle<RelayPort>, _ event: DataPlane.Event) {
    let socket = Handle<RelaySockets.Entry>(sameAs: id)
    guard let descriptor = plane.relayPorts.descriptor(socket) else { return }
    let limit = plane.relayPorts.receiveLimit(socket)
    let slots = plane.receive(event, descriptor, limit: limit)
    plane.learn(id, asked: limit, slots)
    for slot in slots {
      guard let source = plane.batch.source(slot) else { continue }
      let count = plane.batch.byteCount(slot)
      let ancillary = plane.batch.ancillary(slot)
      plane.relayPorts.count(socket, trafficClass: ancillary.trafficClass, source.family)
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

  /// Carries out the relay's decision about the datagram or frame in a slot.
  ///
  /// - Parameters:
  ///   - base: the offset in the slot of the disposition's message.
  ///   - isPart: whether other messages surround it, so that no header may be written there.
  @inline(__always)
  mutating func act(
    _ disposition: Disposition, on slot: Int, base: Int, isPart: Bool, from client: ClientPath?
  ) {
    switch disposition {
    case .drop, .deferred:
      break
    case .toPeer(let port, let peer, let offset, let count):
      _ = plane.sendToPeer(port, peer, slot: slot, range: (base + offset)..<(base + offset + count))
    case .toShard(let shard, let port, let address, let offset, let count):
      pass(to: shard, from: port, address, slot: slot, (base + offset)..<(base + offset + count))
    case .toClient(let path, let offset, let count, let padding):
      let range = (base + offset)..<(base + offset + count)
      if let connection = path.connection {
        if path.transport.isStream {
          queueMedia(Handle(sameAs: connection), slot: slot, range, padding: padding)
        } else {
          sendToAssociation(Handle(sameAs: connection), slot: slot, range, padding: padding)
        }
      } else if isPart && (padding > 0 || relay.replyByteCount > offset) {
        // Its header or padding would overwrite another message.
        sendPart(path, slot: slot, range, padding: padding)
      } else {
        sendDatagram(slot, Self.frame(relay, in: &plane.buffers, slot: slot, range, padding: padding), to: path)
      }
    case .reply:
      guard let client else { return }
      sendReply(to: client, slot: slot, isPart: isPart)
    }
  }

  /// Runs the commands of the request in a slot, then sends its answer.
  @inline(__always)
  private mutating func sendReply(to client: ClientPath, slot: Int, isPart: Bool) {
    metrics.answersInTurn &+= 1
    // An answer does not copy the request's DSCP and ECN.
    plane.sends.trafficClass = 0
    // Commands run before the answer is sent: released quota is free, and a deleted allocation's port is closed.
    if isPart || client.connection != nil {
      let bytes = relay.replyBytes()
      runCommands()
      deliver(bytes, to: client)
    } else {
      let count = Self.copyReply(relay, into: &plane.buffers, slot: slot)
      runCommands()
      sendDatagram(slot, 0..<count, to: client)
    }
  }

  /// Sends a part of a slot to a client of a datagram listener, from the address that the client sends to.
  @inline(__always)
  mutating func sendDatagram(_ slot: Int, _ range: Range<Int>, to client: ClientPath) {
    let endpoint = endpoints.endpoint(client.endpoint)
    guard let socket = datagramListeners.socket(of: endpoint.listener) else { return }
    plane.sendToClient(over: socket, client.address, from: endpoint.source, slot: slot, range: range)
  }

  /// Sends a part of merged datagrams to a client, with its header from another buffer, the relay's reply.
  private mutating func sendPart(_ path: ClientPath, slot: Int, _ range: Range<Int>, padding: Int) {
    let endpoint = endpoints.endpoint(path.endpoint)
    guard let socket = datagramListeners.socket(of: endpoint.listener) else { return }
    if plane.sends.isFull { plane.flush() }
    Self.appendPart(
      &plane.sends, relay, plane.buffers, plane.listenerDescriptor(socket), slot: slot, range, padding: padding,
      to: path.address, from: endpoint.source)
  }

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
