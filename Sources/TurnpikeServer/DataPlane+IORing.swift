internal import System
internal import NetIO
internal import NetworkTypes
internal import TURN
internal import Tables

/// The turn with io_uring.
extension DataPlane {
  /// Limit of the ring's events in one turn.
  static let arrivalsPerTurn = 256

  /// - Parameter waits: whether to wait for an event if there is none.
  mutating func waitWithRing(waits: Bool = true) -> Int {
    if !isLoopWatched, waits {
      ring?.watch(loop.rawValue)
      isLoopWatched = true
    }
    if !closing.isEmpty { closeSockets() }
    let hasFailures = ring?.failed.isEmpty == false
    ring?.send(&sends, thenWait: waits && !hasFailures)
    nextSlot = 0
    nextReplySlot = 0
    lastPort = OptionalSlot()
    // The datagrams of the last turn have been sent, so the kernel may reuse their slots.
    if !arrivals.isEmpty {
      for arrival in arrivals where arrival.slot >= 0 { ring?.provide(Int(arrival.slot), buffers) }
      ring?.publish()
      arrivals.removeAll(keepingCapacity: true)
    }
    addFailures()
    var loopCount = 0
    while arrivals.count < Self.arrivalsPerTurn, let waiting = ring?.waiting, waiting > 0 {
      guard let outcome = ring?.take(&batch, buffers) else { break }
      switch outcome {
      case .datagram(let token, let slot, let isLast):
        arrivals.append(
          Event(
            token: token, isReadable: true, isWritable: false, isFailed: false, slot: Int32(truncatingIfNeeded: slot)))
        if isLast { receiveAgain(token) }
      case .ended(let token, let error):
        if let error, error != .noBuffers {
          arrivals.append(Event(token: token, isReadable: false, isWritable: false, isFailed: true))
        }
        receiveAgain(token)
      case .readable:
        isLoopWatched = false
        loopCount = loop.wait(for: .zero, limit: Self.streamEventsPerTurn)
      case .settled: break
      }
    }
    return arrivals.count + loopCount
  }

  /// Adds events for sockets with ICMP errors that no receive reports.
  private mutating func addFailures() {
    guard let failed = ring?.failed, !failed.isEmpty else { return }
    ring?.failed.removeAll(keepingCapacity: true)
    for descriptor in failed {
      guard let found = relayPorts.find(descriptor) else { continue }
      let token = EventToken(kind: EventKind.relayPort, found)
      arrivals.append(Event(token: token, isReadable: false, isWritable: false, isFailed: true))
    }
  }

  /// Reads a relay port's error queue again in the next turn, because it may have more entries.
  mutating func lookAgain(at id: Handle<RelayPort>) {
    guard usesRing, let descriptor = relayPorts.descriptor(Handle(sameAs: id)) else { return }
    ring?.addFailure(of: descriptor)
  }

  /// Starts receiving again from a socket that is still open.
  private mutating func receiveAgain(_ token: EventToken) {
    if isStopped { return }
    let descriptor =
      token.kind == EventKind.datagramListener
      ? listenerDescriptors[Int(token.index)]
      : relayPorts.descriptor(token.handle(of: RelaySockets.Entry.self))
    if let descriptor { ring?.receive(from: descriptor, token) }
  }

  /// Sends waiting datagrams and releases every socket: a ring that is closed at the process's exit would hold the
  /// ports for a while.
  mutating func shutDown() {
    closeSockets()
    guard usesRing else { return }
    ring?.send(
      &sends,
      thenCancel: listenerDescriptors.indices.map { EventToken(kind: EventKind.datagramListener, index: UInt32($0)) })
  }
}
