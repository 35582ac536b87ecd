internal import NetIO
internal import NetworkTypes
internal import TURN
internal import Tables

/// Streams of unauthenticated clients that wait for a budget. Over a stream a client never retransmits a request (RFC
/// 8489 section 6.2.2): after a dropped request it would wait for 40 seconds and give up. So the request is kept, the
/// socket is not read, and the relay gets the request again soon after.
extension Shard {
  /// Keeps the rest of a slot whose first frame was dropped without a budget, and pauses reading. False if the frame
  /// stays dropped: for another cause, or because an allocation's media must not wait behind the request.
  mutating func pauses(
    _ connection: Slot<Connection>, after disposition: Disposition, slot: Int, _ rest: Range<Int>
  ) -> Bool {
    guard case .drop(let cause) = disposition, cause.passesLater, !relay.hasAllocation(streams[connection].path) else {
      return false
    }
    keepPartialFrame(connection, slot: slot, 0..<rest.upperBound, from: rest.lowerBound)
    streams.pause(connection, now: now.instant)
    updateWatch(connection)
    return true
  }

  /// Resumes the connections whose pause has ended.
  mutating func resumeConnections() {
    guard let due = streams.nextResume, due <= now.instant else { return }
    for handle in streams.takeResumable(now: now.instant) {
      guard let connection = streams.slot(of: handle) else { continue }
      updateWatch(connection)
      readAdopted(connection, handle)
      if streams.slot(of: handle) != nil { settleStranger(connection) }
    }
  }

  /// Updates the loop's interest: reading unless the connection is paused, writing if output waits.
  mutating func updateWatch(_ connection: Slot<Connection>) {
    let token = EventToken(kind: EventKind.connection, streams.handle(of: connection))
    try? plane.loop.modify(
      streams[connection].socket.rawValue, token, reads: !streams[connection].isPaused,
      writes: streams[connection].waitsForRoom)
  }

  // MARK: - Look-ups

  /// Handles a look-up that a rate does not allow now: postpones a stream client's look-up; any other client
  /// retransmits its request.
  mutating func postpone(_ lookUp: KeyLookUp) {
    guard relay.path(ofTicket: lookUp.ticket)?.transport.isStream == true, lookUps.postpone(lookUp) else {
      return relay.lookUpRefused(lookUp.ticket)
    }
  }

  /// Tries postponed look-ups again. A look-up that the rates still refuse is postponed again.
  mutating func retryLookUps() {
    for entry in lookUps.takePostponed() where relay.path(ofTicket: entry.ticket) != nil { lookUp(entry) }
    runCommands()
  }
}
