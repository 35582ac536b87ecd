internal import NetworkTypes
internal import STUN
internal import Tables

/// Refresh (RFC 8656 section 8.2).
extension Relay {
  mutating func refresh(_ request: borrowing Request) throws(Refusal) -> Disposition {
    if request.message.has(.mobilityTicket) { return try refreshMoved(request) }
    return try refresh(ownAllocation(of: request), request, movingTo: nil)
  }

  /// Refreshes a known allocation of its owner.
  ///
  /// - Parameter path: the five-tuple to which a ticket moves the allocation.
  mutating func refresh(
    _ slot: Slot<Allocation>, _ request: borrowing Request, movingTo path: ClientPath?
  ) throws(Refusal) -> Disposition {
    let wish = try? request.message.lifetime()
    if wish != 0, settings.policy.onCredentialExpiry != .keep, let end = request.principal.nameExpiry,
      end <= request.now.wall
    {
      throw .expired
    }
    let families = try families(of: slot, namedBy: request)
    let granted = wish == 0 ? .zero : lifetime(for: wish, request.principal, now: request.now)
    var ticket: [UInt8]?
    if granted == .zero {
      // The deletion comes before the answer: a client with the answer can allocate again at once.
      endFamilies(families, of: slot, .deleted, now: request.now)
    } else {
      setExpiry(of: slot, families, to: request.now.instant.advanced(by: granted))
      renewCredential(of: slot, request.principal, now: request.now)
      if let path { move(slot, to: path, request.message.transactionID, now: request.now) }
      if request.message.has(.mobilityTicket) { ticket = allocations[slot].details.mobility?.ticket }
    }
    beginSuccess(.refresh, request.message.transactionID)
    writer.append(.lifetime, granted.wholeSeconds)
    if let ticket { writer.append(.mobilityTicket, ticket) }
    return finish(request)
  }

  /// The families that a Refresh concerns: the named one, or all.
  private func families(
    of slot: Slot<Allocation>, namedBy request: borrowing Request
  ) throws(Refusal) -> [IPAddress.Family] {
    guard let requested = try? request.message.addressFamily(.requestedAddressFamily) else { return [.ipv4, .ipv6] }
    guard let family = IPAddress.Family(rawValue: requested), allocations[slot].port(for: family) != nil else {
      throw .code(.peerAddressFamilyMismatch)
    }
    return [family]
  }

  /// Sets the expiry of relayed addresses. The allocation lives as long as the last of them; its timer fires at the
  /// first.
  private mutating func setExpiry(of slot: Slot<Allocation>, _ families: [IPAddress.Family], to deadline: Instant) {
    for family in families {
      if let port = allocations[slot].port(for: family).flatMap({ relayPorts.slot(of: $0) }) {
        relayPorts[port].expiresAt = deadline
      }
    }
    let before = allocations[slot].expiresAt
    let deadlines = portDeadlines(of: slot)
    allocations[slot].expiresAt = deadlines.last
    // A timer that fires too early is set again; only one that would fire too late must be moved.
    guard deadlines.first < before else { return }
    timers.cancel(allocations[slot].timer)
    allocations[slot].timer = timers.schedule(.allocation(allocations.handle(of: slot)), at: deadlines.first)
  }
}
