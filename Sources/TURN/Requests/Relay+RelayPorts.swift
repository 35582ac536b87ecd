public import NetworkTypes
internal import STUN
public import Tables

/// Opens the relay ports of an admitted Allocate one after another; if a port belongs to another process, it tries the
/// next (RFC 8656 section 7.2).
extension Relay {
  /// Limit of tried ports of one family for one request.
  private static let portAttempts = 16

  /// Requests the socket of the next family of the request. Makes the allocation when every available family is open.
  mutating func openNextPort(_ ticket: Handle<PendingRequest>, now: Now) {
    guard let client = pending.client(of: ticket), var allocation = pending[allocation: ticket] else { return }
    guard let family = allocation.families.first else {
      finishAllocation(ticket, now: now)
      return
    }
    let address: RelayedAddress
    if let reserved = allocation.reserved {
      address = reserved
      // From now on the port's record owns the claim.
      allocation.reserved = nil
    } else if !allocation.usesReservation, allocation.attempts < Self.portAttempts,
      let picked = portPicker.pick(
        family, parity: allocation.parity, for: allocation.owner(at: client), now: now.instant)
    {
      address = picked
    } else {
      if !allocation.usesReservation { commands.append(.event(.relayPortsExhausted(family))) }
      skipFamily(family, ticket, now: now)
      return
    }
    allocation.attempts += 1
    pending[allocation: ticket] = allocation
    let handle = relayPorts.insert(
      RelayPort(
        address: address, advertised: relayed.advertised(address), family: family, transport: allocation.transport,
        ticket: ticket, expiresAt: now.instant,
        claimsNext: allocation.parity == .pair && !allocation.usesReservation))
    let local = relayed.local(address)
    commands.append(
      allocation.transport == .tcp ? .openRelayListener(handle, local) : .openRelayPort(handle, local))
  }

  /// Handles a family without a free port: a dual allocation continues with the other family (section 7.2, step 9); an
  /// allocation of one family is refused.
  private mutating func skipFamily(_ family: IPAddress.Family, _ ticket: Handle<PendingRequest>, now: Now) {
    guard var allocation = pending[allocation: ticket] else { return }
    allocation.families.removeFirst()
    guard allocation.families.count + allocation.opened.count > 0 else {
      refuseLate(ticket, .insufficientCapacity, now: now)
      return
    }
    allocation.addressError = (family, .insufficientCapacity)
    allocation.attempts = 0
    pending[allocation: ticket] = allocation
    openNextPort(ticket, now: now)
  }

  // MARK: - The kernel's answer

  /// The socket of `openRelayPort` could not be opened. Another port is tried unless this one was reserved.
  public mutating func relayPortFailed(_ handle: Handle<RelayPort>, now: Now) {
    guard let slot = relayPorts.slot(of: handle) else { return }
    let ticket = relayPorts[slot].ticket
    releaseClaims(of: slot)
    guard pending[allocation: ticket] != nil else { return }
    openNextPort(ticket, now: now)
  }

  /// The socket of `openRelayPort` is open: makes and answers the allocation, or opens its next port.
  public mutating func relayPortOpened(_ handle: Handle<RelayPort>, now: Now) {
    guard let slot = relayPorts.slot(of: handle) else {
      // The transport is unknown here: one of the two commands closes the socket, the other has no effect.
      commands.append(.closeRelayPort(handle))
      commands.append(.closeRelayListener(handle))
      return
    }
    let ticket = relayPorts[slot].ticket
    guard var allocation = pending[allocation: ticket] else {
      discard(handle)
      return
    }
    allocation.opened.append(handle)
    allocation.families.removeFirst()
    allocation.attempts = 0
    pending[allocation: ticket] = allocation
    openNextPort(ticket, now: now)
  }

  /// Every available relay port is open: makes the allocation and answers the request.
  private mutating func finishAllocation(_ ticket: Handle<PendingRequest>, now: Now) {
    guard let request = pending.remove(ticket, timers: &timers), let allocation = request.allocation else { return }
    if liveAllocation(on: request.client, now: now) != nil {
      // Another Allocate on this five-tuple has finished first.
      release(allocation, of: request)
      answerLate(request, allocation, .allocationMismatch, now: now)
      return
    }
    let slot = create(allocation, for: request, now: now)
    let disposition = answerAllocate(
      slot, transactionID: request.transactionID, by: allocation.principal, fingerprint: allocation.hasFingerprint)
    deliverLate(disposition, to: request.client, since: request.arrivedAt)
  }

  private mutating func create(
    _ allocation: PendingAllocation, for request: PendingRequest, now: Now
  ) -> Slot<Allocation> {
    let principal = allocation.principal
    let expiresAt = now.instant.advanced(by: allocation.lifetime)
    var details = AllocationDetails(
      realm: principal.realm, username: principal.username, quotaName: principal.quotaName, keys: principal.keys,
      kind: AllocationKind(
        transport: request.client.transport,
        families: allocation.opened.count > 1 ? .dual : family(of: allocation.opened.first) == .ipv6 ? .ipv6 : .ipv4,
        relayTransport: allocation.transport),
      transactionID: request.transactionID, grantedLifetime: allocation.lifetime, createdAt: now.instant,
      admittedAddress: request.client.address.address,
      bandwidthSubject: RateTable.Subject(
        QuotaHolder(
          realm: principal.realm, user: principal.quotaName, address: request.client.address.address)))
    details.nameExpiry = principal.nameExpiry
    details.credentialEnd = principal.credentialTimeLeft.map { now.wall.advanced(by: $0) }
    details.addressError = allocation.addressError
    details.roundTripMicroseconds = allocation.roundTripMicroseconds
    details.ownBandwidth = principal.keys?.bandwidthWord ?? 0
    bandwidth.watch(details.ownBandwidth)
    if allocation.wantsTicket { details.mobility = Mobility() }
    let slot = allocations.insert(
      Allocation(
        client: request.client, transport: allocation.transport, expiresAt: expiresAt, details: details))
    for handle in allocation.opened { give(handle, to: slot, allocation, request.client, expiresAt, now: now) }
    makeTicket(for: slot)
    allocations[slot].timer = timers.schedule(.allocation(allocations.handle(of: slot)), at: expiresAt)
    counters.allocationsMade &+= 1
    commands.append(.event(.allocationOpened(summary(of: slot, now: now))))
    return slot
  }

  private func family(of port: Handle<RelayPort>?) -> IPAddress.Family? {
    port.flatMap { relayPorts.slot(of: $0) }.map { relayPorts[$0].family }
  }

  /// Adds an open relay port to its allocation.
  private mutating func give(
    _ handle: Handle<RelayPort>, to slot: Slot<Allocation>, _ allocation: PendingAllocation, _ client: ClientPath,
    _ expiresAt: Instant, now: Now
  ) {
    guard let portSlot = relayPorts.slot(of: handle) else { return }
    let port = relayPorts[portSlot]
    allocations[slot].setPort(handle, for: port.family)
    relayPorts[portSlot].allocation = slot
    relayPorts[portSlot].expiresAt = expiresAt
    if port.claimsNext {
      allocations[slot].details.reservationToken = reserve(
        port.address.next, for: allocation.principal.reservationHolder, allocation.owner(at: client), now: now)
    }
    relayed.publish(port.address, port.transport, shard: shard)
    relayPorts.publish(portSlot, under: relayed.key(port.address))
  }

  /// Holds the upper port of a pair for the user with its token, without an open socket.
  private mutating func reserve(
    _ address: RelayedAddress, for username: [UInt8], _ owner: PortOwner, now: Now
  ) -> UInt64 {
    let stamp = relayed.reserve(address, now: now.instant)
    hold(
      Reservation(
        address: address, stamp: stamp, owner: owner.tag,
        expiresAt: now.instant.advanced(by: ReservationTable.lifetime)))
    return tokens.token(address, username: username)
  }

  mutating func hold(_ reservation: Reservation) {
    let handle = reservations.insert(reservation)
    _ = timers.schedule(.reservation(handle), at: reservation.expiresAt)
  }

  // MARK: - Ends

  /// Closes a relay port without an allocation.
  mutating func discard(_ handle: Handle<RelayPort>) {
    guard let slot = relayPorts.slot(of: handle) else { return }
    let transport = relayPorts[slot].transport
    releaseClaims(of: slot)
    commands.append(closing(handle, transport))
  }

  func closing(_ handle: Handle<RelayPort>, _ transport: RelayTransport) -> RelayCommand {
    transport == .tcp ? .closeRelayListener(handle) : .closeRelayPort(handle)
  }

  /// Removes a relay port without an allocation, and releases its claimed numbers.
  private mutating func releaseClaims(of slot: Slot<RelayPort>) {
    let port = relayPorts[slot]
    relayPorts.discard(slot)
    relayed.release(port.address)
    if port.claimsNext { relayed.release(port.address.next) }
  }
}
