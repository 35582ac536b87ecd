internal import Metrics
internal import NetIO
internal import NetworkTypes
internal import TURN

/// TCP relaying (RFC 6062): the relay's commands about listeners and peer connections, and the loop's events.
extension Shard {
  // MARK: - Listeners

  mutating func openRelayListener(_ id: RecordID, _ address: SocketAddress) {
    do throws(Errno) {
      let listener = try StreamListener(relayingOn: address)
      let descriptor = listener.rawValue
      let place = tcp.listeners.insert(listener)
      do throws(Errno) {
        try plane.loop.add(
          descriptor,
          EventToken(kind: EventKind.relayListener, index: UInt32(place.index), generation: place.generation))
      } catch {
        _ = tcp.listeners.remove(place.index)
        throw error
      }
      while tcp.listenerIDs.count <= place.index { tcp.listenerIDs.append(.none) }
      tcp.listenerIDs[place.index] = id
      tcp.placeOfListener[id] = place.index
      relay.relayPortOpened(id, now: now)
    } catch {
      if error != .addressInUse {
        plan.log.limited(.warning, "relay-port-failed", ("address", "\(address.address)"), ("error", "\(error)"))
      }
      relay.relayPortFailed(id, now: now)
    }
  }

  mutating func closeRelayListener(_ id: RecordID) {
    guard let place = tcp.placeOfListener.removeValue(forKey: id) else { return }
    _ = tcp.listeners.remove(place)
  }

  mutating func acceptPeers(_ token: EventToken) {
    let place = Int(token.index)
    guard tcp.listeners.isTaken(place, generation: token.generation) else { return }
    let id = tcp.listenerIDs[place]
    // A bounded number a turn, and the listener may go with a command.
    for _ in 0..<16 {
      guard tcp.listeners.isTaken(place, generation: token.generation) else { return }
      let socket: StreamSocket?
      do throws(Errno) { socket = try tcp.listeners[place].accept() } catch {
        plan.log.limited(.error, "accept-failed", ("error", "\(error)"), ("remedy", "raise the open files limit"))
        try? plane.loop.modify(tcp.listeners[place].rawValue, token, reads: false, writes: false)
        tcp.resting.append(id)
        return
      }
      guard let socket else { return }
      // What is not wanted is closed at once, as section 5.3 has it.
      guard tcp.pipes.count < Pipe.limit, let name = relay.peerAccepted(socket.remote, on: id, now: now) else { continue }
      if !addPipe(Pipe(id: name, socket: socket, state: .unbound, now: now.instant)) { relay.pipeEnded(name) }
      runCommands()
    }
  }

  // MARK: - Peer connections

  mutating func connectPeer(_ id: RecordID, from local: SocketAddress, to remote: SocketAddress) {
    guard tcp.pipes.count < Pipe.limit else {
      plan.log.limited(.warning, "peer-connections-exhausted", ("limit", "\(Pipe.limit)"))
      relay.peerConnectionFailed(id, .noCapacity, now: now)
      return
    }
    do throws(Errno) {
      let socket = try StreamSocket(connectingFrom: local, to: remote)
      if !addPipe(Pipe(id: id, socket: socket, state: .connecting, now: now.instant)) {
        relay.peerConnectionFailed(id, .noCapacity, now: now)
      }
    } catch {
      relay.peerConnectionFailed(id, error == .tooManyFiles ? .noCapacity : .refused, now: now)
    }
  }

  /// Registered without waiting to read: the peer's bytes stay in the kernel, and only a broken connection is told.
  private mutating func addPipe(_ pipe: consuming Pipe) -> Bool {
    let descriptor = pipe.socket.rawValue
    let id = pipe.id
    let isConnecting = pipe.state == .connecting
    pipe.interest = Interest(isRegistered: true, reads: false, writes: isConnecting)
    let place = tcp.pipes.insert(pipe)
    tcp.placeOfPipe[id] = place.index
    let token = EventToken(
      kind: EventKind.peerConnection, index: UInt32(place.index), generation: place.generation)
    do throws(Errno) {
      try plane.loop.add(descriptor, token)
      try plane.loop.modify(descriptor, token, reads: false, writes: isConnecting)
      return true
    } catch {
      tcp.placeOfPipe[id] = nil
      _ = tcp.pipes.remove(place.index)
      return false
    }
  }

  mutating func peerReady(_ event: DataPlane.Event) {
    let place = Int(event.token.index)
    guard tcp.pipes.isTaken(place, generation: event.token.generation) else { return }
    let id = tcp.pipes[place].id
    switch tcp.pipes[place].state {
    case .connecting:
      guard event.isWritable || event.isFailed else { return }
      if tcp.pipes[place].socket.connectError == nil, !event.isFailed {
        tcp.pipes[place].state = .unbound
        setPeerInterest(place, Interest(isRegistered: true))
        relay.peerConnected(id, now: now)
      } else {
        removePipe(place)
        relay.peerConnectionFailed(id, .refused, now: now)
      }
      runCommands()
    case .unbound:
      // Nothing is waited for, so this can only be its end.
      guard event.isFailed else { return }
      removePipe(place)
      relay.pipeEnded(id)
      runCommands()
    case .bound:
      carry(place, event.token.generation, peerIsReady: event)
    }
  }

  /// The client has bound the connection: from the answer on it carries bytes.
  mutating func bindPipe(_ id: RecordID, _ path: ClientPath) {
    let index = Int(path.connection.index)
    guard let place = tcp.placeOfPipe[id], connections.isTaken(index, generation: path.connection.generation) else {
      closePipe(id)
      relay.pipeEnded(id)
      return
    }
    // Two ConnectionBinds that both waited for a look-up: a connection carries one pipe, or leaves for another shard.
    guard connections[index].pipe == nil, connections[index].move == nil else {
      closePipe(id)
      relay.pipeEnded(id)
      close(index)
      return
    }
    tcp.pipes[place].state = .bound
    tcp.pipes[place].client = (index, path.connection.generation)
    let waits = connections[index].waitsForRoom
    connections[index].pipe = Connection.PipeEnd(
      place: place, interest: Interest(isRegistered: true, reads: true, writes: waits))
    updatePipe(place)
  }

  /// Ends a peer's connection, and the client's with it. The relay knows already.
  mutating func closePipe(_ id: RecordID) {
    guard let place = tcp.placeOfPipe[id] else { return }
    let client = tcp.pipes[place].client
    removePipe(place)
    guard connections.isTaken(client.index, generation: client.generation) else { return }
    connections[client.index].pipe = nil
    close(client.index)
  }

  /// Ends a pipe of whose end the relay is to be told.
  mutating func endPipe(_ place: Int) {
    let id = tcp.pipes[place].id
    closePipe(id)
    relay.pipeEnded(id)
  }

  private mutating func removePipe(_ place: Int) {
    tcp.placeOfPipe[tcp.pipes[place].id] = nil
    _ = tcp.pipes.remove(place)
  }

  // MARK: - Once a second

  mutating func sweepPipes() {
    for id in tcp.resting {
      guard let place = tcp.placeOfListener[id] else { continue }
      let token = EventToken(
        kind: EventKind.relayListener, index: UInt32(place), generation: tcp.listeners.generation(place))
      try? plane.loop.modify(tcp.listeners[place].rawValue, token, reads: true, writes: false)
    }
    tcp.resting = []
    guard tcp.pipes.count > 0 else { return }
    for place in 0..<tcp.pipes.upperBound where tcp.pipes.isTaken(place) {
      guard tcp.pipes[place].state == .bound, tcp.pipes[place].peerHasEnded || tcp.pipes[place].clientHasEnded,
        now.instant.nanoseconds(since: tcp.pipes[place].lastMoved) > Pipe.halfOpenPatience
      else { continue }
      endPipe(place)
    }
    runCommands()
  }

  mutating func setPeerInterest(_ place: Int, _ wanted: Interest) {
    let token = EventToken(
      kind: EventKind.peerConnection, index: UInt32(place), generation: tcp.pipes.generation(place))
    plane.loop.change(tcp.pipes[place].socket.rawValue, token, from: tcp.pipes[place].interest, to: wanted)
    tcp.pipes[place].interest = wanted
  }

  mutating func setClientInterest(_ index: Int, _ wanted: Interest) {
    guard let before = connections[index].pipe?.interest else { return }
    let token = EventToken(
      kind: EventKind.connection, index: UInt32(index), generation: connections.generation(index))
    plane.loop.change(connections[index].socket.rawValue, token, from: before, to: wanted)
    connections[index].pipe?.interest = wanted
  }
}

extension EventLoop {
  /// Brings a registration from one interest to another with the call that it takes, if any.
  func change(_ descriptor: Int32, _ token: EventToken, from before: Interest, to wanted: Interest) {
    guard before != wanted else { return }
    if !wanted.isRegistered {
      remove(descriptor)
      return
    }
    if !before.isRegistered { try? add(descriptor, token) }
    try? modify(descriptor, token, reads: wanted.reads, writes: wanted.writes)
  }
}
