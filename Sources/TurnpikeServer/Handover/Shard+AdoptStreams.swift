internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN
internal import Tables

/// TCP clients and TCP relays: the newer process's side.
extension Shard {
  /// Takes over connections, then pipes. A connection whose realm or listener is gone is closed.
  mutating func adoptStreams(
    _ records: EngineRecords, _ mapping: HandoverMapping, _ descriptors: inout [Int32?]
  ) throws(RecordError) {
    guard streams.beginRestoring(records.streams) else {
      throw RecordError(problem: "there are too many connections", offset: 0)
    }
    for record in records.connections {
      guard let realm = mapping.realm(record.path.realm), mapping.hasEndpoint(record.path) else { continue }
      let descriptor = FileDescriptor(owning: try Self.take(record.descriptor, &descriptors))
      try adopt(record, realm, StreamSocket(descriptor, remote: record.remote, local: record.local))
    }
    streams.finishRestoring()
    for record in records.pipes {
      guard relay.client(ofPeerConnection: record.id) != nil else { continue }
      let descriptor = FileDescriptor(owning: try Self.take(record.descriptor, &descriptors))
      try adopt(record, StreamSocket(descriptor, remote: record.remote, local: record.local))
    }
  }

  private mutating func adopt(
    _ record: ConnectionRecord, _ realm: RealmID, _ socket: consuming StreamSocket
  ) throws(RecordError) {
    let descriptor = socket.rawValue
    let client = record.path.address.address
    var path = record.path
    path.realm = realm
    var connection = Connection(
      socket: socket, path: path, isProxied: record.layer == .proxyHeader, now: record.lastHeard)
    connection.takeOver(record, path)
    guard connection.partialFrame.append(record.partial.span.rawBytes, &blocks),
      connection.outgoing.restore(record.outgoing.span.rawBytes, begun: Int(record.begun), &blocks),
      streams.restore(connection, at: record.handle), let slot = streams.slot(of: record.handle)
    else { throw RecordError(problem: "two connections have one handle", offset: 0) }
    plan.connections.adopt(client, isStranger: !record.isProven)
    if !record.isProven { streams.strangers.append(record.handle, from: client) }
    streams[slot].waitsForRoom = !record.outgoing.isEmpty
    try? plane.loop.add(
      descriptor, EventToken(kind: EventKind.connection, record.handle), writes: !record.outgoing.isEmpty)
    adopted.counts.connections += 1
    if record.layer == .plain, !record.partial.isEmpty { adopted.unread.append(record.handle) }
  }

  private mutating func adopt(_ record: PipeRecord, _ socket: consuming StreamSocket) throws(RecordError) {
    let descriptor = socket.rawValue
    var pipe = Pipe(id: record.id, socket: socket, state: .unbound, now: record.lastMoved)
    pipe.state =
      switch record.state {
      case .connecting: .connecting
      case .unbound: .unbound
      case .bound: .bound
      }
    pipe.client = record.client.handle
    pipe.peerHasEnded = record.peerHasEnded
    pipe.clientHasEnded = record.clientHasEnded
    pipe.peerIsTold = record.peerIsTold
    pipe.clientIsTold = record.clientIsTold
    guard pipe.toPeer.append(record.toPeer.span.rawBytes, &blocks), tcp.pipe(ofPeerConnection: record.id) == nil else {
      throw RecordError(problem: "two pipes have one peer connection", offset: 0)
    }
    let isConnecting = pipe.state == .connecting
    pipe.interest = Interest(isRegistered: true, reads: false, writes: isConnecting)
    let slot = tcp.insert(pipe)
    let token = EventToken(kind: EventKind.peerConnection, tcp.handle(of: slot))
    try? plane.loop.add(descriptor, token)
    try? plane.loop.modify(descriptor, token, reads: false, writes: isConnecting)
    guard let client = record.client.handle else { return }
    guard let connection = streams.slot(of: client), streams[connection].pipe == nil else {
      throw RecordError(problem: "a pipe has no connection of its own", offset: 0)
    }
    streams[connection].pipe = Connection.PipeEnd(
      pipe: tcp.handle(of: slot), awaitsAnswer: record.awaitsAnswer,
      interest: Interest(isRegistered: true, reads: true, writes: streams[connection].waitsForRoom))
    adopted.pipes.append(tcp.handle(of: slot))
  }

  /// Continues the work of the older process: processes waiting bytes, settles pipes, charges strangers' memory.
  mutating func resumeAdoptedStreams() {
    var connections = SlotWalk<Connection>()
    while let slot = streams.next(&connections) {
      if !streams[slot].isProven { settleStranger(slot) }
    }
    for handle in adopted.pipes {
      if let pipe = tcp.slot(of: handle) { settlePipe(pipe) }
    }
    for handle in adopted.unread {
      guard let slot = streams.slot(of: handle), streams[slot].pipe == nil else { continue }
      readAdopted(slot, handle)
    }
    adopted.pipes = []
    adopted.unread = []
    // A peer connection without a socket has ended.
    for id in relay.peerConnectionHandles where tcp.pipe(ofPeerConnection: id) == nil { relay.pipeEnded(id) }
    runCommands()
  }
}
