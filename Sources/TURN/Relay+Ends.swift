public import NetworkTypes
internal import STUN
internal import Tables

/// Time, and the end of allocations, permissions and channels.
extension Relay {
  /// Advances the time to `now`: ends expired records.
  public mutating func advance(to now: Now) {
    while let subject = timers.popDue(now: now.instant) {
      switch subject {
      case .allocation(let handle): expireAllocation(handle, now: now)
      case .permission(let handle): expirePermission(handle, now: now)
      case .channel(let handle): expireChannel(handle, now: now)
      case .reservation(let handle): expireReservation(handle)
      case .pendingRequest(let handle): expireRequest(handle)
      case .movedClient(let handle):
        moved.expire(handle, now: now.instant, lifetime: movedClientLifetime, timers: &timers)
      case .peerConnection(let handle): expirePeerConnection(handle)
      }
    }
  }

  // If a record's deadline has moved since its timer was set, these functions only set the timer again.

  private mutating func expireAllocation(_ handle: Handle<Allocation>, now: Now) {
    guard let slot = allocations.slot(of: handle) else { return }
    let expired = [IPAddress.Family.ipv4, .ipv6].filter { family in
      portDeadline(of: slot, family).map { $0 <= now.instant } ?? false
    }
    if !expired.isEmpty { endFamilies(expired, of: slot, .expired, now: now) }
    guard allocations.slot(of: handle) != nil else { return }
    allocations[slot].timer = timers.schedule(.allocation(handle), at: portDeadlines(of: slot).first)
  }

  /// When an allocation's relayed address of a family expires; nil if it has none.
  private func portDeadline(of slot: Slot<Allocation>, _ family: IPAddress.Family) -> Instant? {
    allocations[slot].port(for: family).flatMap { relayPorts.slot(of: $0) }.map { relayPorts[$0].expiresAt }
  }

  /// When the first and the last of an allocation's relayed addresses expires.
  func portDeadlines(of slot: Slot<Allocation>) -> (first: Instant, last: Instant) {
    let deadlines = [IPAddress.Family.ipv4, .ipv6].compactMap { portDeadline(of: slot, $0) }
    let end = allocations[slot].expiresAt
    return (deadlines.min() ?? end, deadlines.max() ?? end)
  }

  /// Ends relayed addresses of a dual allocation, with the channels and permissions of their families only (RFC 8656
  /// section 8.1). Ends the allocation if no relayed address is left.
  mutating func endFamilies(
    _ families: [IPAddress.Family], of slot: Slot<Allocation>, _ reason: EndReason, now: Now
  ) {
    let isLeft = [IPAddress.Family.ipv4, .ipv6].contains {
      !families.contains($0) && allocations[slot].port(for: $0) != nil
    }
    guard isLeft else {
      end(slot, reason, now: now)
      return
    }
    for family in families {
      endPeerConnections(of: slot, family)
      endChannels(of: slot, family)
      endPermissions(of: slot, family)
      closePort(of: slot, family, now: now)
    }
    allocations[slot].expiresAt = portDeadlines(of: slot).last
  }

  /// Ends the channels of an allocation, of one family or all.
  private mutating func endChannels(of allocation: Slot<Allocation>, _ family: IPAddress.Family?) {
    var next = allocations[allocation].channels.first
    while let slot = next {
      next = channels.next(after: slot, in: allocations[allocation].channels)
      if family == nil || channels[slot].peer.family == family { remove(slot) }
    }
  }

  /// Ends the permissions of an allocation, of one family or all.
  private mutating func endPermissions(of allocation: Slot<Allocation>, _ family: IPAddress.Family?) {
    var next = allocations[allocation].permissions.first
    while let slot = next {
      next = permissions.next(after: slot, in: allocations[allocation].permissions)
      if family == nil || permissions[slot].address.family == family { remove(slot) }
    }
  }

  /// Closes an allocation's relay port of a family, which puts its number into quarantine.
  private mutating func closePort(of slot: Slot<Allocation>, _ family: IPAddress.Family, now: Now) {
    guard let handle = allocations[slot].port(for: family), let portSlot = relayPorts.slot(of: handle) else { return }
    let port = relayPorts[portSlot]
    commands.append(closing(handle, port.transport))
    relayPorts.remove(portSlot, under: relayed.key(port.address))
    allocations[slot].setPort(nil, for: family)
    relayed.quarantine(
      port.address,
      from: PortOwner(username: allocations[slot].details.quotaName, client: allocations[slot].client),
      now: now.instant)
  }

  private mutating func expirePermission(_ handle: Handle<Permission>, now: Now) {
    guard let slot = permissions.slot(of: handle) else { return }
    permissions[slot].timer = TimerWheel.TimerHandle()
    if permissions[slot].expiresAt > now.instant {
      permissions.setTimer(of: slot, timers: &timers)
    } else {
      remove(slot)
    }
  }

  private mutating func expireChannel(_ handle: Handle<Channel>, now: Now) {
    guard let slot = channels.slot(of: handle) else { return }
    channels[slot].timer = TimerWheel.TimerHandle()
    if channels[slot].expiresAt > now.instant {
      channels.setTimer(of: slot, timers: &timers)
    } else {
      remove(slot)
    }
  }

  /// Ends a reservation whose token was not used in time.
  private mutating func expireReservation(_ handle: Handle<Reservation>) {
    guard let reservation = reservations.remove(handle) else { return }
    relayed.releaseReservation(reservation.address, stamp: reservation.stamp)
  }

  /// Ends a request without an answer in time: the client has given up, and its resources are released.
  private mutating func expireRequest(_ ticket: Handle<PendingRequest>) {
    guard let request = pending.remove(ticket, timers: &timers), let allocation = request.allocation else { return }
    release(allocation, of: request)
  }

  /// Ends an allocation: closes its ports, removes its permissions and channels, and releases its part of the quota.
  ///
  /// - Parameter isAnnounced: whether there is an event; an allocation that goes on in another process has none.
  mutating func end(_ slot: Slot<Allocation>, _ reason: EndReason, isAnnounced: Bool = true, now: Now) {
    let summary = summary(of: slot, now: now)
    endChannels(of: slot, nil)
    endPermissions(of: slot, nil)
    endPeerConnections(of: slot, nil)
    closePort(of: slot, .ipv4, now: now)
    closePort(of: slot, .ipv6, now: now)
    endQuality(of: slot)
    timers.cancel(allocations[slot].timer)
    bandwidth.unwatch(allocations[slot].details.ownBandwidth)
    commands.append(.release(allocations[slot].details.quotaHolder))
    allocations.remove(slot)
    if isAnnounced { commands.append(.event(.allocationClosed(summary, reason))) }
  }

  /// Ends every allocation, at the end of the drain.
  public mutating func endAllAllocations(now: Now) {
    var walk = SlotWalk<Allocation>()
    while let slot = allocations.next(&walk) {
      end(slot, .closed, now: now)
    }
  }

  /// Ends the allocation of a client whose connection has closed, unless the client may move (RFC 8016).
  public mutating func connectionClosed(_ client: ClientPath, now: Now) {
    for ticket in pending.tickets(of: client) {
      guard let request = pending.remove(ticket, timers: &timers), let allocation = request.allocation else { continue }
      release(allocation, of: request)
    }
    guard let slot = allocations.find(client) else { return }
    if !detach(slot, from: client) { end(slot, .disconnected, now: now) }
  }

  func summary(of slot: Slot<Allocation>, now: Now) -> AllocationSummary {
    let addresses = relayedAddresses(of: slot)
    let client = allocations[slot].client
    return AllocationSummary(
      id: allocations.handle(of: slot), kind: allocations[slot].details.kind,
      realm: allocations[slot].details.realm, username: allocations[slot].details.username, client: client.address,
      transport: client.transport, relayTransport: allocations[slot].transport, relayed: addresses.first ?? .none,
      secondRelayed: addresses.dropFirst().first,
      age: now.instant.duration(since: allocations[slot].details.createdAt),
      toPeers: allocations[slot].toPeers, toClient: allocations[slot].toClient,
      drops: allocations[slot].details.drops, quality: quality(of: slot))
  }
}
