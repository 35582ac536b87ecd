public import NetworkTypes
public import Tables

/// A live allocation, with the values that only lists of sessions show.
public struct SessionSummary: Sendable, Equatable {
  public var allocation: AllocationSummary
  /// The time until it expires.
  public var expiresIn: Duration
  public var permissions: UInt32
  public var channels: UInt32
  /// Connections to peers (RFC 6062).
  public var peerConnections: UInt32
}

/// Live allocations for operators: lists of them, and the end of one.
extension Relay {
  /// Visits the live allocations in a range of slots.
  ///
  /// - Parameters:
  ///   - position: the slot at which to begin: 0, or the position that the last call returned.
  ///   - slots: limit of visited slots, which bounds the time of the call.
  ///   - take: gets each live allocation; false ends the call.
  /// - Returns: the position for the next call; nil at the end.
  public func visitSessions(
    from position: UInt32, slots: UInt32, now: Now, _ take: (SessionSummary) -> Bool
  ) -> UInt32? {
    var walk = SlotWalk<Allocation>(from: position)
    while let slot = allocations.next(&walk) {
      if slot.index - position >= slots { return slot.index }
      if allocations[slot].expiresAt > now.instant, !take(session(slot, now: now)) { return walk.position }
    }
    return nil
  }

  /// A live allocation; nil if it has ended.
  public func session(_ handle: Handle<Allocation>, now: Now) -> SessionSummary? {
    allocations.slot(of: handle).map { session($0, now: now) }
  }

  /// Ends an allocation; false if it has ended already.
  public mutating func endAllocation(_ handle: Handle<Allocation>, now: Now) -> Bool {
    guard let slot = allocations.slot(of: handle) else { return false }
    end(slot, .closed, now: now)
    return true
  }

  /// How often each limit was reached since the start, by the raw value of `RelayLimit`.
  public var limitTotals: InlineArray<32, UInt64> { limitNotices.totals }

  private func session(_ slot: Slot<Allocation>, now: Now) -> SessionSummary {
    SessionSummary(
      allocation: summary(of: slot, now: now),
      expiresIn: allocations[slot].expiresAt.duration(since: now.instant),
      permissions: allocations[slot].permissions.count, channels: allocations[slot].channels.count,
      peerConnections: allocations[slot].peerConnections.count)
  }
}
