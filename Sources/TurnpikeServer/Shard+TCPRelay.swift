internal import Log
internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN
internal import Tables

/// TCP relaying (RFC 6062): the relay's commands about listeners and peer connections, and the loop's events.
extension Shard {
  // MARK: - Listeners

  mutating func openRelayListener(_ id: Handle<RelayPort>, _ address: SocketAddress) {
    do throws(Errno) {
      let socket = try StreamListener(relayingOn: address)
      let descriptor = socket.rawValue
      guard descriptor < plan.connections.descriptorLimit else { throw Errno.tooManyFiles }
      let handle = tcp.insert(RelayListener(id: id, socket: socket))
      do throws(Errno) { try plane.loop.add(descriptor, EventToken(kind: EventKind.relayListener, handle)) } catch {
        tcp.removeListener(id)
        throw error
      }
      relay.relayPortOpened(id, now: now)
    } catch {
      relayPortFailed(id, address, error)
    }
  }

  mutating func acceptPeers(_ handle: Handle<RelayListener>) {
    // Each turn accepts a limited number. A command may close the listener.
    for _ in 0..<16 {
      guard let listener = tcp.slot(of: handle) else { return }
      let id = tcp[listener].id
      let socket: StreamSocket?
      do throws(Errno) { socket = try tcp[listener].socket.accept() } catch {
        plan.log.limited(.error, "accept-failed", ("error", "\(error)"), ("remedy", "raise the open files limit"))
        waitForPeers(handle, false)
        tcp.pause(handle)
        return
      }
      guard let socket else { return }
      // A connection that is not accepted is closed at once (section 5.3).
      guard !tcp.isFull else {
        countLimit(.peerConnections, socket.remote.address)
        continue
      }
      guard socket.rawValue < plan.connections.descriptorLimit else {
        countLimit(.descriptors, socket.remote.address)
        continue
      }
      guard let name = relay.peerAccepted(socket.remote, on: id, now: now) else {
        runCommands()
        continue
      }
      if !addPipe(Pipe(id: name, socket: socket, state: .unbound, now: now.instant)) { relay.pipeEnded(name) }
      runCommands()
    }
  }

  private func waitForPeers(_ handle: Handle<RelayListener>, _ waits: Bool) {
    guard let listener = tcp.slot(of: handle) else { return }
    try? plane.loop.modify(
      tcp[listener].socket.rawValue, EventToken(kind: EventKind.relayListener, handle), reads: waits, writes: false)
  }

  // MARK: - Peer connections

  mutating func connectPeer(_ id: Handle<PeerConnection>, from local: SocketAddress, to remote: SocketAddress) {
    guard !tcp.isFull else {
      countLimit(.peerConnections, remote.address)
      relay.peerConnectionFailed(id, .noCapacity, now: now)
      return
    }
    do throws(Errno) {
      let socket = try StreamSocket(connectingFrom: local, to: remote)
      guard socket.rawValue < plan.connections.descriptorLimit else {
        countLimit(.descriptors, remote.address)
        return relay.peerConnectionFailed(id, .noCapacity, now: now)
      }
      if !addPipe(Pipe(id: id, socket: socket, state: .connecting, now: now.instant)) {
        relay.peerConnectionFailed(id, .noCapacity, now: now)
      }
    } catch {
      relay.peerConnectionFailed(id, error == .tooManyFiles ? .noCapacity : .refused, now: now)
    }
  }

  /// Registers the pipe without read interest: the peer's bytes stay in the kernel, and only a broken connection makes
  /// an event.
  private mutating func addPipe(_ pipe: consuming Pipe) -> Bool {
    let descriptor = pipe.socket.rawValue
    let isConnecting = pipe.state == .connecting
    pipe.interest = Interest(isRegistered: true, reads: false, writes: isConnecting)
    let slot = tcp.insert(pipe)
    let token = EventToken(kind: EventKind.peerConnection, tcp.handle(of: slot))
    do throws(Errno) {
      try plane.loop.add(descriptor, token)
      try plane.loop.modify(descriptor, token, reads: false, writes: isConnecting)
      return true
    } catch {
      tcp.remove(slot)
      return false
    }
  }

  mutating func peerReady(_ handle: Handle<Pipe>, _ event: DataPlane.Event) {
    guard let pipe = tcp.slot(of: handle) else { return }
    let id = tcp[pipe].id
    switch tcp[pipe].state {
    case .connecting:
      guard event.isWritable || event.isFailed else { return }
      if tcp[pipe].socket.connectError == nil, !event.isFailed {
        tcp[pipe].state = .unbound
        setPeerInterest(pipe, Interest(isRegistered: true))
        relay.peerConnected(id, now: now)
      } else {
        tcp.remove(pipe)
        relay.peerConnectionFailed(id, .refused, now: now)
      }
      runCommands()
    case .unbound:
      // The pipe has no read or write interest, so this event is a broken connection.
      guard event.isFailed else { return }
      tcp.remove(pipe)
      relay.pipeEnded(id)
      runCommands()
    case .bound:
      peerOfPipeReady(pipe, event)
    }
  }

  /// Binds a client's connection to the peer's: after the answer it carries the peer's bytes.
  mutating func bindPipe(_ id: Handle<PeerConnection>, _ path: ClientPath) {
    guard let pipe = tcp.pipe(ofPeerConnection: id),
      let connection = path.connection.flatMap({ streams.slot(of: Handle<Connection>(sameAs: $0)) })
    else {
      closePipe(id)
      relay.pipeEnded(id)
      return
    }
    // Two ConnectionBinds may both have waited for a look-up, but a connection has one pipe or moves to another shard.
    guard streams[connection].pipe == nil, streams[connection].move == nil else {
      closePipe(id)
      relay.pipeEnded(id)
      close(connection)
      return
    }
    tcp[pipe].state = .bound
    tcp[pipe].client = streams.handle(of: connection)
    let waits = streams[connection].waitsForRoom
    streams[connection].pipe = Connection.PipeEnd(
      pipe: tcp.handle(of: pipe), interest: Interest(isRegistered: true, reads: true, writes: waits))
    updatePipe(pipe)
  }

  /// Closes a peer's connection, and the client's with it. The relay has already removed it.
  mutating func closePipe(_ id: Handle<PeerConnection>) {
    guard let pipe = tcp.pipe(ofPeerConnection: id) else { return }
    let client = tcp[pipe].client
    tcp.remove(pipe)
    guard let client, let connection = streams.slot(of: client) else { return }
    streams[connection].pipe = nil
    close(connection)
  }

  /// Ends a pipe, and informs the relay.
  mutating func endPipe(_ pipe: Slot<Pipe>) {
    let id = tcp[pipe].id
    closePipe(id)
    relay.pipeEnded(id)
  }

  // MARK: - Once a second

  mutating func sweepPipes() {
    for listener in tcp.takePausedListeners() { waitForPeers(listener, true) }
    var walk = SlotWalk<Pipe>()
    while let pipe = tcp.next(&walk) {
      guard tcp[pipe].state == .bound, tcp[pipe].peerHasEnded || tcp[pipe].clientHasEnded,
        now.instant.duration(since: tcp[pipe].lastMoved) > Pipe.halfOpenTimeout
      else { continue }
      endPipe(pipe)
    }
    runCommands()
  }

  mutating func setPeerInterest(_ pipe: Slot<Pipe>, _ wanted: Interest) {
    let token = EventToken(kind: EventKind.peerConnection, tcp.handle(of: pipe))
    plane.loop.change(tcp[pipe].socket.rawValue, token, from: tcp[pipe].interest, to: wanted)
    tcp[pipe].interest = wanted
  }

  mutating func setClientInterest(_ connection: Slot<Connection>, _ wanted: Interest) {
    guard let before = streams[connection].pipe?.interest else { return }
    let token = EventToken(kind: EventKind.connection, streams.handle(of: connection))
    plane.loop.change(streams[connection].socket.rawValue, token, from: before, to: wanted)
    streams[connection].pipe?.interest = wanted
  }
}

extension EventLoop {
  /// Changes a registration from one interest to another, with the system call that this needs, if any.
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
