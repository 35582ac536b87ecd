internal import Crypto
internal import Metrics
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import TLS
internal import TURN

/// One thread's share of the server: its own sockets, its own allocations, its own `Relay`. Nothing that a packet
/// touches is shared with another shard.
///
/// A turn: wait, receive, decide, send, empty the commands, expire what is due.
struct Shard: ~Copyable {
  let plan: ShardPlan
  var relay: Relay
  var plane: DataPlane
  var streamListeners = Places<StreamListener>()
  /// For each listener of the plan its place among the sockets of its kind.
  var socketOfListener: [Int] = []
  var listenerOfDatagramSocket: [Int] = []
  /// For each listening socket how many runs its clients have sent, up to where merging is switched on.
  var runsOfDatagramSocket: [Int] = []
  /// For each listening socket whether its clients set DSCP or ECN.
  private var watchOfDatagramSocket: [TrafficClassWatch] = []
  /// For each datagram listening socket whether it takes messages that are not encrypted.
  var acceptsPlain: [Bool] = []
  /// Who sent the last datagram to a listening socket, and of what size.
  var lastArrival: (source: SocketAddress, byteCount: Int) = (.none, 0)
  var listenerOfStreamSocket: [Int] = []
  var connections = Places<Connection>()
  /// Those that have something to write at the end of the turn.
  var dirtyConnections: [UInt32] = []
  /// Shards that this turn has passed something to.
  var siblingsToWake: [Int] = []
  /// Which shard is looked at first for what it has passed here.
  var firstSibling = 0
  /// Where what streams wait with lies.
  var blocks = BlockPool()
  var connectionsOfAddress: [IPAddress: Int] = [:]
  var associations: Associations
  var endpoints = EndpointTable()
  var tls: TLSContext?
  var serverNames: ServerNames
  var tcp = TCPRelays()
  /// Connections that leave for other shards at the end of this turn.
  var movingConnections: [RecordID] = []
  /// Keys that the store gave lately, so that a busy user costs one look-up.
  var knownKeys = KnownKeys()
  var now: Now
  var nextSweep: Instant
  var pausedListeners: [Int] = []
  var isStopping = false
  /// Readings of connections that are still shaking hands; the rest waits for the next turn, media comes first.
  var handshakesThisTurn = 0
  /// The same for DTLS: neither keeps the other out.
  var datagramHandshakesThisTurn = 0
  static let handshakesPerTurn = 8
  /// Media that slow stream clients did not take since the last sweep.
  var droppedForSlowStreams: UInt64 = 0
  /// That runs are not cut by the kernel everywhere is worth one line.
  var hasToldOfRefusedRuns = false
  /// The most allocations and connections at one time since memory was given back.
  private var memoryPeak = 0
  var reportsWhenIdle = false

  private init(_ plan: ShardPlan) throws(Errno) {
    let plane = try DataPlane(plan.engine)
    try plane.loop.add(plan.mailbox.rawValue, EventToken(kind: EventKind.mailbox))
    self.plane = plane
    self.plan = plan
    now = Now.read()
    nextSweep = now.instant.advanced(bySeconds: 1)
    tls = plan.contexts?.stream
    serverNames = plan.serverNames
    associations = Associations(context: plan.contexts?.datagram, cookieKey: plan.cookieKey)
    relay = Relay(
      settings: plan.settings, gate: plan.gate, relayed: plan.relayed, limiter: plan.limiter, identity: plan.identity,
      now: now)
  }

  /// Opens every socket of the plan, in its order.
  private mutating func openListeners() throws(ListenFailure) {
    for (number, listener) in plan.listeners.enumerated() {
      do throws(Errno) {
        if listener.transport.isStream {
          let socket = try StreamListener(listeningOn: listener.address)
          let descriptor = socket.rawValue
          let place = streamListeners.insert(socket).index
          try plane.loop.add(descriptor, EventToken(kind: EventKind.streamListener, index: UInt32(place)))
          socketOfListener.append(place)
          listenerOfStreamSocket.append(number)
        } else {
          socketOfListener.append(try plane.add(UDPSocket(listeningOn: listener.address)))
          listenerOfDatagramSocket.append(number)
          runsOfDatagramSocket.append(0)
          watchOfDatagramSocket.append(TrafficClassWatch())
          acceptsPlain.append(listener.transport == .udp || listener.auto)
        }
      } catch {
        throw ListenFailure(listener: listener, error: error)
      }
    }
  }

  struct ListenFailure: Error {
    var listener: ListenerPlan?
    var error: Errno
  }

  /// A shard with every socket of its plan open, for the thread that calls this.
  static func open(_ plan: ShardPlan) throws(ListenFailure) -> Shard {
    var shard: Shard
    do throws(Errno) { shard = try Shard(plan) } catch { throw ListenFailure(listener: nil, error: error) }
    try shard.openListeners()
    return shard
  }

  /// The thread's body.
  static func run(_ plan: ShardPlan) {
    do throws(ListenFailure) {
      var shard = try open(plan)
      plan.reports.post(.bound(shard: plan.index))
      while !shard.isStopping { shard.turn() }
      shard.plane.shutDown()
      plan.reports.post(.stopped(shard: plan.index))
    } catch {
      plan.reports.post(.failed(shard: plan.index, error.listener, error.error))
    }
  }

  /// Waits, and does what is to be done.
  mutating func turn() {
    let count = plane.wait(until: nextDeadline())
    now = Now.read()
    // First, so that what this turn sets is set from now on and not from when a timer fired last.
    relay.advance(to: now)
    runCommands()
    handshakesThisTurn = 0
    datagramHandshakesThisTurn = 0
    lastArrival = (.none, 0)
    for index in 0..<count {
      // With io_uring each event brings a datagram that lies there already.
      if relay.needsForesight, plane.usesRing, index + Self.foresight < count {
        let coming = plane.event(index + Self.foresight)
        if coming.token.kind == EventKind.datagramListener, coming.slot >= 0 {
          foresee(Int(coming.slot), at: Int(coming.token.index))
        }
      }
      handle(plane.event(index))
    }
    sendMovingConnections()
    if associations.nextTick <= now.instant { tickAssociations() }
    resumePipes()
    if nextSweep <= now.instant { sweep() }
    // Last, so that nothing that the turn had to say waits for the next one.
    flushConnections()
    wakeSiblings()
    plane.endTurn()
    if reportsWhenIdle, relay.allocationCount == 0 {
      reportsWhenIdle = false
      plan.reports.post(.idle(shard: plan.index))
    }
  }

  /// When something is due; nil while nothing is.
  private func nextDeadline() -> Instant? {
    var deadline = relay.nextDeadline
    if connections.count > 0 || associations.count > 0 || !pausedListeners.isEmpty {
      deadline = min(deadline ?? nextSweep, nextSweep)
    }
    if memoryPeak > 2 * tenantCount + Self.memorySlack { deadline = min(deadline ?? nextSweep, nextSweep) }
    if associations.nextTick < .distantFuture { deadline = min(deadline ?? associations.nextTick, associations.nextTick) }
    if let resume = tcp.nextResume { deadline = min(deadline ?? resume, resume) }
    return deadline
  }

  private mutating func handle(_ event: DataPlane.Event) {
    let token = event.token
    switch token.kind {
    case EventKind.datagramListener: receiveFromClients(Int(token.index), event)
    case EventKind.relayPort:
      let id = RecordID(index: token.index, generation: token.generation)
      if event.isFailed { receiveErrors(id) }
      receiveFromPeers(id, event)
    case EventKind.streamListener: acceptConnections(Int(token.index))
    case EventKind.connection: connectionReady(event)
    case EventKind.relayListener: acceptPeers(token)
    case EventKind.peerConnection: peerReady(event)
    case EventKind.mailbox: readMail()
    case EventKind.alarm: plane.acknowledgeAlarm()
    default: break
    }
  }

  // MARK: - Datagrams

  private mutating func receiveFromClients(_ place: Int, _ event: DataPlane.Event) {
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
  private static let foresight = 8

  /// A datagram in this slot is to be received soon.
  @inline(__always)
  private mutating func foresee(_ slot: Int, at place: Int) {
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

  private mutating func receiveFromPeers(_ id: RecordID, _ event: DataPlane.Event) {
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

  // MARK: - Once a second

  private var tenantCount: Int { relay.allocationCount + connections.count + associations.count }
  private static let memorySlack = 256

  /// After a crowd has left, what it had used goes back to the kernel: the heap keeps freed memory otherwise.
  private mutating func giveMemoryBack() {
    let count = tenantCount
    if memoryPeak > 2 * count + Self.memorySlack {
      memoryPeak = count
      blocks.release()
      Heap.trim()
    } else {
      memoryPeak = max(memoryPeak, count)
    }
  }

  private mutating func sweep() {
    nextSweep = now.instant.advanced(bySeconds: 1)
    giveMemoryBack()
    sweepConnections()
    sweepAssociations()
    sweepPipes()
    if endpoints.isNearlyFull { reclaimEndpoints() }
    if droppedForSlowStreams > 0 {
      plan.log.limited(.info, "stream-clients-slow", ("media-dropped", "\(droppedForSlowStreams)"))
      droppedForSlowStreams = 0
    }
    if plane.sends.refusedRuns > 0, !hasToldOfRefusedRuns {
      hasToldOfRefusedRuns = true
      plan.log.info(
        "segmentation-refused", ("reason", "the kernel does not cut runs on some route"),
        ("effect", "there each datagram is sent by itself"))
    }
    for place in pausedListeners where streamListeners.isTaken(place) {
      try? plane.loop.modify(
        streamListeners[place].rawValue, EventToken(kind: EventKind.streamListener, index: UInt32(place)),
        reads: true, writes: false)
    }
    pausedListeners = []
  }
}

extension Shard {
  /// Numbers of endpoints that no client is known by any more.
  private mutating func reclaimEndpoints() {
    var used = relay.endpointsInUse()
    for index in 0..<connections.upperBound where connections.isTaken(index) {
      used.insert(connections[index].path.endpoint)
    }
    for index in 0..<associations.places.upperBound where associations.places.isTaken(index) {
      used.insert(associations.places[index].path.endpoint)
    }
    endpoints.reclaim(keeping: used)
  }
}

extension Relay {
  /// A datagram that another shard has passed on.
  mutating func receiveHandedOver(
    slot: Int, _ range: Range<Int>, in buffers: borrowing PacketBuffers, from client: ClientPath, now: Now
  ) -> Disposition {
    receiveHandedOver(buffers.bytes(slot, range), from: client, now: now)
  }

  /// A client's message in a slot: the span is lent for the call and no longer.
  @inline(__always)
  mutating func receive(
    slot: Int, _ range: Range<Int>, in buffers: borrowing PacketBuffers, from client: ClientPath, now: Now
  ) -> Disposition {
    receive(buffers.bytes(slot, range), from: client, now: now)
  }

  @inline(__always)
  mutating func receive(
    slot: Int, _ range: Range<Int>, in buffers: borrowing PacketBuffers, fromPeer peer: SocketAddress,
    on port: RecordID, now: Now
  ) -> Disposition {
    receive(buffers.bytes(slot, range), fromPeer: peer, on: port, now: now)
  }

  /// A copy of the reply, for the way that is seldom taken.
  borrowing func replyBytes() -> [UInt8] { reply.copied() }
}
