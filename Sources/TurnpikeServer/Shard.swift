internal import NetIO
internal import NetworkTypes
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
  var watchOfDatagramSocket: [TrafficClassWatch] = []
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
  var memoryPeak = 0
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
}
