internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN
internal import Tables

/// TCP clients and TCP relays: the older process's side.
extension Shard {
  /// The clients that move.
  func movingClients() -> MovingClients {
    var moving = MovingClients()
    var connections = SlotWalk<Connection>()
    while let slot = streams.next(&connections) {
      if streams[slot].movingLayer != nil { moving.insert(streams.handle(of: slot)) }
    }
    // A data connection that cannot move keeps its allocation here, and the allocation keeps its other connections.
    forEachPipe { pipe, control in
      if let client = tcp[pipe].client, !moving.contains(client) { moving.keep(control) }
    }
    forEachPipe { pipe, control in
      if moving.contains(control) {
        moving.insert(tcp.handle(of: pipe))
      } else if let client = tcp[pipe].client {
        moving.keep(client)
      }
    }
    return moving
  }

  /// Calls `body` with each pipe and the client of its allocation.
  private func forEachPipe(_ body: (Slot<Pipe>, ClientPath) -> Void) {
    var pipes = SlotWalk<Pipe>()
    while let pipe = tcp.next(&pipes) {
      if let control = relay.client(ofPeerConnection: tcp[pipe].id) { body(pipe, control) }
    }
  }

  func exportStreams(
    _ moving: MovingClients, to coder: inout RecordCoder, _ package: inout HandoverPackage
  ) throws(RecordError) {
    var shape = streams.shape
    coder.begin(EngineRecordKind.streams.rawValue)
    try coder.code(&shape)
    coder.end()
    var connections = SlotWalk<Connection>()
    while let slot = streams.next(&connections) {
      guard moving.contains(streams.handle(of: slot)), let layer = streams[slot].movingLayer else { continue }
      var record = streams[slot].record(layer)
      record.handle = streams.handle(of: slot)
      record.descriptor = package.add(streams[slot].socket.rawValue)
      coder.begin(EngineRecordKind.connection.rawValue)
      try record.code(with: &coder)
      coder.end()
    }
    for handle in moving.pipes {
      guard let pipe = tcp.slot(of: handle) else { continue }
      var record = tcp[pipe].record
      record.descriptor = package.add(tcp[pipe].socket.rawValue)
      if let client = tcp[pipe].client, let slot = streams.slot(of: client) {
        record.awaitsAnswer = streams[slot].pipe?.awaitsAnswer ?? false
      }
      coder.begin(EngineRecordKind.pipe.rawValue)
      try record.code(with: &coder)
      coder.end()
    }
  }

  /// Removes the streams that the newer process has, without a message to clients or peers.
  mutating func leaveStreams(_ moving: MovingClients) {
    for handle in moving.pipes {
      guard let pipe = tcp.slot(of: handle) else { continue }
      plane.loop.remove(tcp[pipe].socket.rawValue)
      tcp.remove(pipe)
    }
    for handle in moving.connections {
      guard let slot = streams.slot(of: handle) else { continue }
      plane.loop.remove(streams[slot].socket.rawValue)
      forgetStranger(slot)
      _ = streams.remove(slot)
    }
    // The relay closes the listeners of its TCP allocations.
    for descriptor in tcp.listenerDescriptors(where: { relay.client(ofPort: $0).map(moving.contains) ?? false }) {
      plane.loop.remove(descriptor)
    }
  }
}

extension Connection {
  /// The layer of a connection that can move; nil for one that cannot.
  var movingLayer: ConnectionRecord.Layer? {
    guard move == nil, job == nil else { return nil }
    switch layer {
    case .proxyHeader: return .proxyHeader
    case .undecided: return .undecided
    case .plain: return .plain
    case .hello, .tls: return nil
    }
  }

  func record(_ layer: ConnectionRecord.Layer) -> ConnectionRecord {
    var record = ConnectionRecord()
    record.remote = socket.remote
    record.local = socket.local
    record.localAddress = localAddress
    record.path = path
    record.layer = layer
    record.hasSpoken = hasSpoken
    record.isProven = isProven
    record.lastHeard = lastHeard
    record.partial = partialFrame.bytes.copied()
    record.outgoing = outgoing.bytes.copied()
    record.begun = UInt32(truncatingIfNeeded: outgoing.begunByteCount)
    return record
  }
}

extension Pipe {
  var record: PipeRecord {
    var record = PipeRecord()
    record.id = id
    record.remote = socket.remote
    record.local = socket.local
    record.state =
      switch state {
      case .connecting: .connecting
      case .unbound: .unbound
      case .bound: .bound
      }
    record.client = OptionalHandle(client)
    record.toPeer = toPeer.bytes.copied()
    record.peerHasEnded = peerHasEnded
    record.clientHasEnded = clientHasEnded
    record.peerIsTold = peerIsTold
    record.clientIsTold = clientIsTold
    record.lastMoved = lastMoved
    return record
  }
}
