internal import NetIO
internal import NetworkTypes
internal import TURN

/// The second engine's turn.
extension DataPlane {
  static let arrivalsPerTurn = 256

  mutating func waitWithRing() -> Int {
    if !isLoopWatched {
      ring?.watch(loop.rawValue)
      isLoopWatched = true
    }
    if !closing.isEmpty { closeSockets() }
    let hasFailures = ring?.failed.isEmpty == false
    ring?.send(&sends, thenWait: !hasFailures)
    nextSlot = 0
    nextReplySlot = 0
    lastPort = .max
    // What the last turn has received has left: the kernel may have the slots again.
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
          Event(token: token, isReadable: true, isWritable: false, isFailed: false, slot: Int32(truncatingIfNeeded: slot)))
        if isLast { receiveAgain(token) }
      case .ended(let token, let error):
        if let error, error != .noBuffers {
          arrivals.append(Event(token: token, isReadable: false, isWritable: false, isFailed: true))
        }
        receiveAgain(token)
      case .readable:
        isLoopWatched = false
        loopCount = loop.wait(milliseconds: 0)
      case .settled: break
      }
    }
    return arrivals.count + loopCount
  }

  /// Sockets with ICMP messages that no receive will tell of any more.
  private mutating func addFailures() {
    guard let failed = ring?.failed, !failed.isEmpty else { return }
    ring?.failed.removeAll(keepingCapacity: true)
    for descriptor in failed {
      guard let found = relayPorts.find(descriptor) else { continue }
      let id = RecordID(index: found.index, generation: found.generation)
      arrivals.append(Event(token: Self.token(of: id), isReadable: false, isWritable: false, isFailed: true))
    }
  }

  /// More may lie in the error queue of a relay port: has it looked at again in the next turn.
  mutating func lookAgain(at id: RecordID) {
    guard usesRing, let descriptor = relayPorts.descriptor(id.index, generation: id.generation) else { return }
    ring?.noteFailure(of: descriptor)
  }

  /// Goes on receiving from a socket that is still there.
  private mutating func receiveAgain(_ token: EventToken) {
    let descriptor =
      token.kind == EventKind.datagramListener
      ? listenerDescriptors[Int(token.index)]
      : relayPorts.descriptor(token.index, generation: token.generation)
    if let descriptor { ring?.receive(from: descriptor, token) }
  }
}
