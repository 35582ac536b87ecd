internal import NetIO
internal import NetworkTypes
internal import System
internal import TLS
internal import TURN
internal import Tables

/// One thread's part of the server, with its own sockets, allocations and `Relay`. The path of a packet shares nothing
/// with other shards.
///
/// A turn: wait, receive, decide, send, run commands, expire.
///
/// Many private static functions in the extensions take parts of the shard as parameters: one `inout`, another
/// `borrowing`. A span borrows the part that it points into, and a method on `self` would borrow the whole shard with
/// it; two stored properties that are passed as two arguments do not overlap, so one can be read while the other is
/// changed. These functions copy nothing.
struct Shard: ~Copyable {
  let plan: ShardPlan
  var relay: Relay
  var plane: DataPlane
  var datagramListeners: DatagramListeners
  var streams: StreamClients
  var secureDatagrams: SecureDatagramClients
  var tcp = TCPRelays()
  var handover = ShardHandover()
  var adopted = AdoptedState()
  var foreign = ForeignClients()
  /// Memory for the waiting output of streams and pipes.
  var blocks = BlockPool()
  var endpoints = EndpointTable()
  var serverNames: ServerNames
  var trustedProxies: [CIDRBlock]
  var lookUps = KeyLookUps()
  var siblings = SiblingBells()
  var now: Now
  var nextSweep: Instant
  var isStopping = false
  /// Whether `runCommands` is running.
  var isRunningCommands = false
  var reportsWhenIdle = false
  var limitNotices = LimitNotices<ShardLimit>()
  /// The counts of the engine that have been logged.
  var engineReports = EngineReports()
  /// The highest number of allocations and connections since memory was released.
  var memoryPeak = 0
  var metrics = ShardMetrics()
  /// The buffer for the captured messages of a user; nil without a capture.
  var capture: CaptureBuffer?

  private init(_ plan: ShardPlan) throws(Errno) {
    let plane = try DataPlane(plan.engine)
    try plane.loop.add(plan.mailbox.rawValue, EventToken(kind: EventKind.mailbox))
    self.plane = plane
    self.plan = plan
    now = Now.read()
    nextSweep = now.instant.advanced(by: .seconds(1))
    serverNames = plan.serverNames
    trustedProxies = plan.trustedProxies
    datagramListeners = DatagramListeners(count: plan.listeners.count)
    streams = StreamClients(context: plan.contexts?.stream)
    secureDatagrams = SecureDatagramClients(context: plan.contexts?.datagram, cookieKey: plan.cookieKey)
    relay = Relay(
      settings: plan.settings, gate: plan.gate, relayed: plan.relayed, limiter: plan.limiter, users: plan.users,
      bandwidth: plan.bandwidth, strangersMemory: plan.strangersMemory, identity: plan.identity, now: now)
  }

  /// Opens every socket of the plan, in its order.
  private mutating func openListeners() throws(ListenFailure) {
    for (index, listener) in plan.listeners.enumerated() {
      let number = ListenerNumber(rawValue: index)
      do throws(Errno) {
        let adopted = adopted.listeners.removeValue(forKey: index)
        if listener.transport.isStream {
          let socket = try Self.streamListener(adopted, listener.address)
          let descriptor = socket.rawValue
          try plane.loop.add(
            descriptor, EventToken(kind: EventKind.streamListener, streams.add(socket, number: number)))
        } else {
          let socket = try Self.datagramListener(adopted, listener.address)
          let record = DatagramListener(listener, number: number, isWildcard: socket.isWildcard)
          datagramListeners.append(record, socket: try plane.add(socket))
        }
      } catch {
        throw ListenFailure(listener: listener, error: error)
      }
    }
    datagramListeners.require(clientCertificate: plan.contexts?.stream.requiresClientCertificate ?? false)
  }

  /// - Parameter adopted: the descriptor of an older process's listener; nil: none.
  private static func streamListener(_ adopted: Int32?, _ address: SocketAddress) throws(Errno) -> StreamListener {
    guard let adopted else { return try StreamListener(listeningOn: address) }
    return StreamListener(owning: FileDescriptor(owning: adopted))
  }

  private static func datagramListener(_ adopted: Int32?, _ address: SocketAddress) throws(Errno) -> UDPSocket {
    guard let adopted else { return try UDPSocket(listeningOn: address) }
    return UDPSocket(owning: FileDescriptor(owning: adopted))
  }

  struct ListenFailure: Error {
    var listener: ListenerPlan?
    var error: Errno
  }

  /// Makes a shard with every socket of its plan open, for the calling thread.
  static func open(_ plan: ShardPlan) throws(OpenFailure) -> Shard {
    var shard: Shard
    do throws(Errno) { shard = try Shard(plan) } catch { throw .listener(nil, error) }
    if plan.inherits {
      shard.plane.isStopped = true
      // The shard reads nothing until `HandoverStep.begin`.
      shard.handover.phase = .paused
      let inheritance = shard.awaitInheritance()
      do throws(RecordError) { try shard.adopt(inheritance) } catch { throw .records(error) }
    }
    do throws(ListenFailure) { try shard.openListeners() } catch { throw .listener(error.listener, error.error) }
    return shard
  }

  enum OpenFailure: Error {
    case listener(ListenerPlan?, Errno)
    case records(RecordError)
  }

  /// The thread's body.
  static func run(_ plan: ShardPlan) {
    do throws(OpenFailure) {
      var shard = try open(plan)
      plan.confinement?.confineThread()
      plan.reports.post(.bound(shard: plan.index, shard.adopted.counts, closed: shard.adopted.closed))
      while !shard.isStopping {
        if shard.handover.isPaused { shard.pausedTurn() } else { shard.turn() }
      }
      shard.plane.shutDown()
      plan.reports.post(.stopped(shard: plan.index))
    } catch {
      switch error {
      case .listener(let listener, let error):
        plan.reports.post(.failed(shard: plan.index, listener, error))
      case .records(let error): plan.reports.post(.unreadable(shard: plan.index, error))
      }
    }
  }

  /// Waits for events and handles them.
  mutating func turn() {
    let count = plane.wait(until: nextDeadline())
    now = Now.read()
    // This comes first, so that timers of this turn count from the present and not from the last expiry.
    relay.advance(to: now)
    runCommands()
    datagramListeners.beginTurn()
    for index in 0..<count {
      // With io_uring each event's datagram is already in its slot.
      if relay.shouldPrefetch, plane.usesRing, index + Self.prefetchDistance < count {
        let coming = plane.event(index + Self.prefetchDistance)
        if coming.token.kind == EventKind.datagramListener, coming.slot >= 0 {
          prefetch(Int(coming.slot), of: Slot(index: coming.token.index))
        }
      }
      handle(plane.event(index))
    }
    sendMovingConnections()
    if secureDatagrams.nextTick <= now.instant { retransmitHandshakes() }
    resumePipes()
    resumeConnections()
    if nextSweep <= now.instant { sweep() }
    // This comes last, so that all output of the turn is written in this turn.
    flushConnections()
    wakeSiblings()
    plane.endTurn()
    endTurnMetrics(events: count)
    reportIfIdle()
  }

  @inline(__always)
  mutating func reportIfIdle() {
    guard reportsWhenIdle, relay.allocationCount == 0 else { return }
    reportsWhenIdle = false
    plan.reports.post(.idle(shard: plan.index))
  }

  /// The time of the next timer; nil if none is set.
  private func nextDeadline() -> Instant? {
    var deadline = relay.nextDeadline
    let hasPausedListeners = streams.hasPausedListeners || tcp.hasPausedListeners
    let holdsMemory = streams.hasDiscarded || holdsMuchMemory
    if streams.count > 0 || secureDatagrams.count > 0 || hasPausedListeners || holdsMemory {
      deadline = min(deadline ?? nextSweep, nextSweep)
    }
    if secureDatagrams.nextTick < .distantFuture {
      deadline = min(deadline ?? secureDatagrams.nextTick, secureDatagrams.nextTick)
    }
    if let resume = tcp.nextResume { deadline = min(deadline ?? resume, resume) }
    if let resume = streams.nextResume { deadline = min(deadline ?? resume, resume) }
    if let publication = metrics.publicationTime { deadline = min(deadline ?? publication, publication) }
    return deadline
  }

  mutating func handle(_ event: DataPlane.Event) {
    let token = event.token
    switch token.kind {
    case EventKind.datagramListener: receiveFromClients(Slot(index: token.index), event)
    case EventKind.relayPort:
      let id = token.handle(of: RelayPort.self)
      if event.isFailed { receiveErrors(id) }
      receiveFromPeers(id, event)
    case EventKind.streamListener: acceptConnections(token.handle(of: ClientListener.self))
    case EventKind.connection: connectionReady(token.handle(of: Connection.self), event)
    case EventKind.relayListener: acceptPeers(token.handle(of: RelayListener.self))
    case EventKind.peerConnection: peerReady(token.handle(of: Pipe.self), event)
    case EventKind.mailbox: readMail()
    case EventKind.foreign: receiveForeign()
    case EventKind.alarm: plane.acknowledgeAlarm()
    default: break
    }
  }
}
