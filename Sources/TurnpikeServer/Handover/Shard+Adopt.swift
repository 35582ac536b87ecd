internal import Log
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import System
internal import TURN
internal import Tables

/// The state with which a shard of the newer process begins.
struct ShardInheritance: Sendable {
  var package: HandoverPackage
  var offer: HandoverOffer
  /// The descriptor for datagrams of clients that stay with the older process; -1: none.
  var forward: Int32 = -1
}

/// The newer process's side. Nothing is received before `HandoverStep.begin`.
extension Shard {
  /// Waits for the older process's records. Everything else of the shard has been made before, because neither process
  /// reads from sockets during the handover.
  mutating func awaitInheritance() -> ShardInheritance {
    plan.reports.post(.prepared(shard: plan.index))
    while true {
      plan.mailbox.wait()
      var found: ShardInheritance?
      for message in plan.mailbox.takeAll() {
        if case .inherit(let inheritance) = message { found = inheritance } else { handover.deferred.append(message) }
      }
      guard let found else { continue }
      now = Now.read()
      return found
    }
  }

  /// Takes over the sockets and records of a shard of the older process.
  mutating func adopt(_ inheritance: ShardInheritance) throws(RecordError) {
    var descriptors = inheritance.package.descriptors.map { Optional($0) }
    // Closes the descriptors that were not taken.
    defer { for case let descriptor? in descriptors { _ = FileDescriptor(owning: descriptor) } }
    let records = try EngineRecords(inheritance.package.engine)
    for (number, index) in records.listeners {
      guard let own = inheritance.offer.number(ofListener: number, in: plan.listeners) else { continue }
      adopted.listeners[own.rawValue] = try Self.take(index, &descriptors)
    }
    let mapping = inheritance.offer.mapping(
      realms: plan.settings.realms.map { String(decoding: $0.name, as: UTF8.self) }, relayed: plan.relayed,
      listeners: plan.listeners, endpoints: records.endpoints.map { UInt16(truncatingIfNeeded: $0.listener.rawValue) })
    restoreEndpoints(records.endpoints, inheritance.offer)
    let restored = try relay.restore(inheritance.package.relay, mapping, now: now)
    adopted.waiting = restored.waiting
    adopted.counts.allocations = restored.summaries.count
    adopted.counts.relays = restored.ports.count
    for holder in restored.holders { plan.ledger.count(holder) }
    for summary in restored.summaries { metrics.sessions.adopt(summary) }
    try adoptRelaySockets(restored.ports, records, &descriptors)
    try adoptStreams(records, mapping, &descriptors)
    if inheritance.forward >= 0 {
      let descriptor = FileDescriptor(owning: inheritance.forward)
      foreign.clients = Set(records.secureClients)
      foreign.socket = StreamSocket(descriptor, remote: .none, local: .none)
    }
    for summary in restored.closed {
      metrics.sessions.adopt(summary)
      record(.allocationClosed(summary, .closed))
    }
    adopted.closed = restored.closed.count
  }

  static func take(_ index: UInt32, _ descriptors: inout [Int32?]) throws(RecordError) -> Int32 {
    guard descriptors.indices.contains(Int(index)), let descriptor = descriptors[Int(index)] else {
      throw RecordError(problem: "a descriptor is missing", offset: 0)
    }
    descriptors[Int(index)] = nil
    return descriptor
  }

  /// Endpoints keep their numbers, which are in the clients' paths.
  private mutating func restoreEndpoints(_ list: [EndpointTable.Endpoint], _ offer: HandoverOffer) {
    endpoints.restore(
      list.map { endpoint in
        offer.number(ofListener: endpoint.listener.rawValue, in: plan.listeners).map {
          EndpointTable.Endpoint(listener: $0, source: endpoint.source)
        }
      })
  }

  private mutating func adoptRelaySockets(
    _ ports: [(handle: Handle<RelayPort>, transport: RelayTransport)], _ records: EngineRecords,
    _ descriptors: inout [Int32?]
  ) throws(RecordError) {
    for (handle, transport) in ports {
      guard let index = records.relaySockets[handle] else {
        throw RecordError(problem: "a relay port has no socket", offset: 0)
      }
      let descriptor = FileDescriptor(owning: try Self.take(index, &descriptors))
      let family = relay.localAddress(ofPort: handle)?.family ?? .ipv4
      switch transport {
      case .udp: plane.adoptRelayPort(handle, UDPSocket(owning: descriptor), family)
      case .tcp: adoptRelayListener(handle, StreamListener(owning: descriptor))
      }
    }
  }

  private mutating func adoptRelayListener(_ id: Handle<RelayPort>, _ socket: consuming StreamListener) {
    let descriptor = socket.rawValue
    let handle = tcp.insert(RelayListener(id: id, socket: socket))
    try? plane.loop.add(descriptor, EventToken(kind: EventKind.relayListener, handle))
  }

  /// Receives the requests again that waited in the older process for a store, the ledger or a socket.
  mutating func receiveWaitingRequests() {
    for (client, bytes) in adopted.waiting {
      let slot = plane.replySlot()
      plane.buffers.copy(bytes.span.rawBytes, into: slot, at: 0)
      let disposition = relay.receive(slot: slot, 0..<bytes.count, in: plane.buffers, from: client, now: now)
      act(disposition, on: slot, base: 0, isPart: false, from: client)
      runCommands()
    }
    adopted.waiting = []
  }
}

/// The state that a shard has taken over and not used yet.
struct AdoptedState {
  /// Listening sockets, by the listeners' numbers; `openListeners` takes them.
  var listeners: [Int: Int32] = [:]
  var waiting: [(client: ClientPath, bytes: [UInt8])] = []
  /// Connections with bytes of frames that have been read and not processed.
  var unread: [Handle<Connection>] = []
  var pipes: [Handle<Pipe>] = []
  var counts = HandoverCounts()
  /// Allocations whose realm, listener or relay address the configuration does not have.
  var closed = 0
}

/// The engine's records of one shard.
struct EngineRecords {
  var endpoints: [EndpointTable.Endpoint] = []
  var listeners: [(number: Int, index: UInt32)] = []
  var relaySockets: [Handle<RelayPort>: UInt32] = [:]
  var streams = SlotMap<Connection>.Shape()
  var connections: [ConnectionRecord] = []
  var pipes: [PipeRecord] = []
  var secureClients: [SecureDatagramClients.Client] = []

  init(_ bytes: [UInt8]) throws(RecordError) {
    var coder = RecordCoder(reading: bytes)
    while let kind = try coder.next() {
      switch EngineRecordKind(rawValue: kind) {
      case .endpoints:
        try coder.codeList(&endpoints, EndpointTable.Endpoint.unread) { coder, endpoint throws(RecordError) in
          try endpoint.code(with: &coder)
        }
      case .listener:
        var (number, index): (UInt16, UInt32) = (0, 0)
        try coder.code(&number)
        try coder.code(&index)
        listeners.append((Int(number), index))
      case .relaySocket:
        var (handle, transport, index) = (Handle<RelayPort>(index: 0, generation: 0), RelayTransport.udp, UInt32(0))
        try coder.code(&handle)
        try coder.code(&transport)
        try coder.code(&index)
        relaySockets[handle] = index
      case .streams: try coder.code(&streams)
      case .connection:
        var record = ConnectionRecord()
        try record.code(with: &coder)
        connections.append(record)
      case .pipe:
        var record = PipeRecord()
        try record.code(with: &coder)
        pipes.append(record)
      case .secureClients:
        try coder.codeList(&secureClients, SecureDatagramClients.Client(.unread)) {
          coder, client throws(RecordError) in
          try coder.code(&client.address)
          try coder.code(&client.endpoint)
        }
      case nil: break
      }
      coder.end()
    }
  }
}
