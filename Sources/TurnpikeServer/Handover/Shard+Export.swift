internal import NetIO
internal import NetworkTypes
internal import STUN
internal import System
internal import TURN
internal import Tables

/// The steps of a handover, as messages from the main thread to a shard.
enum HandoverStep: Sendable {
  /// Stop reading from sockets; media and messages of other shards still arrive.
  case pause
  /// All shards have paused: write the records.
  case export
  /// The upgrade has failed: read again.
  case resume
  /// The newer process has taken over: forget the exported state, and receive forwarded datagrams over this descriptor;
  /// -1: none.
  case leave(Int32)
  /// The newer process's shard reads from now on.
  case begin
}

/// A shard's part in the handover to another process.
struct ShardHandover {
  enum Phase {
    /// The shard reads from its sockets.
    case none
    /// The shard stops reading at the end of the turn.
    case pausing
    case paused
    /// Its records are written, so nothing may change.
    case exported
    /// Another process has taken over; this one drains the clients that stay.
    case left
  }

  var phase = Phase.none
  /// Messages that wait for the end of the handover.
  var deferred: [ShardMessage] = []

  var isPaused: Bool { phase == .pausing || phase == .paused || phase == .exported }
}

/// The kinds of the engine's records.
enum EngineRecordKind: UInt8 {
  case endpoints = 1
  case listener = 2
  case relaySocket = 3
  case streams = 4
  case connection = 5
  case pipe = 6
  case secureClients = 7
}

/// The older process's side.
extension Shard {
  /// A turn without sockets: only the mailbox and the rings of other shards.
  mutating func pausedTurn() {
    if handover.phase == .pausing {
      finishReading()
      handover.phase = .paused
      plan.reports.post(.paused(shard: plan.index))
    }
    plan.mailbox.wait()
    now = Now.read()
    readMail()
    runCommands()
    flushConnections()
    wakeSiblings()
    plane.endTurn()
    plane.flush()
    reportIfIdle()
  }

  /// Ends receiving, and handles what had already arrived in this process.
  private mutating func finishReading() {
    plane.stopReceiving()
    while true {
      let count = plane.takeLeftover()
      guard count > 0 else { break }
      for index in 0..<count { handle(plane.event(index)) }
      runCommands()
    }
    flushConnections()
    wakeSiblings()
    plane.endTurn()
    plane.flush()
  }

  mutating func take(_ step: HandoverStep) {
    switch step {
    case .pause: if handover.phase == .none { handover.phase = .pausing }
    case .export:
      guard handover.phase == .paused else { return }
      let package = export()
      handover.phase = .exported
      plan.reports.post(.exported(shard: plan.index, package))
    case .resume:
      guard handover.isPaused else { return }
      handover.phase = .none
      plane.startReceiving()
    case .leave(let descriptor):
      guard handover.phase == .exported else { return }
      leave()
      receiveFromSuccessor(over: descriptor)
      handover.phase = .left
    case .begin:
      handover.phase = .none
      plane.startReceiving()
      resumeAdoptedStreams()
      receiveWaitingRequests()
    }
  }

  private mutating func export() -> HandoverPackage {
    // Every ring holds at most some thousand datagrams, and the paused shards add none.
    for _ in 0..<64 { receiveFromSiblings() }
    runCommands()
    flushConnections()
    plane.endTurn()
    plane.flush()
    let moving = movingClients()
    let exported = relay.export { moving.contains($0) }
    var package = HandoverPackage()
    package.relay = exported.bytes
    package.counts = HandoverCounts(
      allocations: exported.allocations, relays: exported.ports.count, connections: moving.connections.count,
      kept: exported.kept)
    var coder = RecordCoder()
    // Writing cannot fail.
    try? exportEngine(exported, moving, to: &coder, &package)
    package.engine = coder.bytes
    return package
  }

  private mutating func exportEngine(
    _ exported: ExportedRelay, _ moving: MovingClients, to coder: inout RecordCoder, _ package: inout HandoverPackage
  ) throws(RecordError) {
    coder.begin(EngineRecordKind.endpoints.rawValue)
    var list = endpoints.endpoints
    try coder.codeList(&list, EndpointTable.Endpoint.unread) { coder, endpoint throws(RecordError) in
      try endpoint.code(with: &coder)
    }
    coder.end()
    for listener in 0..<plan.listeners.count {
      guard let descriptor = descriptor(ofListener: ListenerNumber(rawValue: listener)) else { continue }
      coder.begin(EngineRecordKind.listener.rawValue)
      var (number, index) = (UInt16(truncatingIfNeeded: listener), package.add(descriptor))
      try coder.code(&number)
      try coder.code(&index)
      coder.end()
    }
    for port in exported.ports {
      guard let descriptor = socketDescriptor(ofPort: port.handle, port.transport) else { continue }
      coder.begin(EngineRecordKind.relaySocket.rawValue)
      var (handle, transport, index) = (port.handle, port.transport, package.add(descriptor))
      try coder.code(&handle)
      try coder.code(&transport)
      try coder.code(&index)
      coder.end()
    }
    try exportStreams(moving, to: &coder, &package)
    try exportSecureClients(to: &coder)
  }

  private func descriptor(ofListener number: ListenerNumber) -> Int32? {
    if let socket = datagramListeners.socket(of: number) { return plane.listenerDescriptor(socket) }
    return streams.listener(number).map { streams[$0].socket.rawValue }
  }

  private func socketDescriptor(ofPort handle: Handle<RelayPort>, _ transport: RelayTransport) -> Int32? {
    transport == .udp ? plane.relayPorts.descriptor(Handle(sameAs: handle)) : tcp.descriptor(ofListener: handle)
  }

  /// Forgets the exported state. Descriptors are removed from the loops first: otherwise the kernel would report events
  /// as long as the newer process has the sockets open.
  private mutating func leave() {
    let moving = movingClients()
    for listener in 0..<plan.listeners.count {
      if let slot = streams.listener(ListenerNumber(rawValue: listener)) {
        plane.loop.remove(streams[slot].socket.rawValue)
        streams.removeListener(slot)
      }
    }
    leaveStreams(moving)
    relay.forgetExported({ moving.contains($0) }, now: now)
    runCommands()
    plane.startReceivingFromRelayPorts()
    plane.endTurn()
    plane.flush()
  }
}

extension HandoverPackage {
  /// Adds a descriptor and returns its index.
  mutating func add(_ descriptor: Int32) -> UInt32 {
    descriptors.append(descriptor)
    return UInt32(truncatingIfNeeded: descriptors.count - 1)
  }
}

extension EndpointTable.Endpoint {
  static let unread = EndpointTable.Endpoint(listener: ListenerNumber(rawValue: 0), source: nil)

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    var number = UInt16(truncatingIfNeeded: listener.rawValue)
    try coder.code(&number)
    listener = ListenerNumber(rawValue: Int(number))
    try coder.code(&source, .ipv4Any) { coder, address throws(RecordError) in try coder.code(&address) }
  }
}
