internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN
internal import Tables

/// Stops and starts receiving when sockets go from one process to another. Meanwhile datagrams wait in the kernel's
/// queues of their sockets.
extension DataPlane {
  /// Every socket of a listener or relay port.
  private var sockets: [(descriptor: Int32, token: EventToken)] {
    listenerTokens + relayPorts.all.map { ($0.descriptor, EventToken(kind: EventKind.relayPort, $0.handle)) }
  }

  private var listenerTokens: [(descriptor: Int32, token: EventToken)] {
    listenerDescriptors.enumerated().map {
      ($1, EventToken(kind: EventKind.datagramListener, index: UInt32(truncatingIfNeeded: $0)))
    }
  }

  /// Ends receiving. With io_uring datagrams may have arrived that no turn has handled yet: then `takeLeftover` has
  /// events until it returns 0.
  mutating func stopReceiving() {
    isStopped = true
    flush()
    guard usesRing else {
      for socket in sockets { datagrams.remove(socket.descriptor) }
      return
    }
    if !closing.isEmpty { closeSockets() }
    // The receives are cancelled in parts, because each completes once more, and the completion queue is limited.
    let tokens = sockets.map(\.token)
    var start = 0
    while start < tokens.count {
      let end = min(start + 512, tokens.count)
      ring?.send(&sends, thenCancel: Array(tokens[start..<end]))
      start = end
    }
  }

  /// Takes datagrams that the kernel had put into slots before receiving ended; returns the number of events.
  mutating func takeLeftover() -> Int {
    guard usesRing else { return 0 }
    return waitWithRing(waits: false)
  }

  /// Receives from every socket, for the first time or again.
  mutating func startReceiving() {
    guard isStopped else { return }
    isStopped = false
    for socket in sockets {
      // The loops accept every open descriptor; a socket that the kernel refuses nevertheless receives nothing.
      try? register(socket.descriptor, socket.token)
    }
  }

  /// Receives from relay ports only: another process receives from the listeners, and this one only sends over them.
  mutating func startReceivingFromRelayPorts() {
    isStopped = false
    for socket in relayPorts.all {
      try? register(socket.descriptor, EventToken(kind: EventKind.relayPort, socket.handle))
    }
  }

  /// Takes over the socket of a relay port.
  mutating func adoptRelayPort(_ id: Handle<RelayPort>, _ socket: consuming UDPSocket, _ family: IPAddress.Family) {
    socket.reportTrafficClass(family)
    let token = Self.token(of: id)
    try? register(socket.rawValue, token)
    relayPorts.insert(socket, at: Handle(sameAs: id))
  }
}
