public import NetworkTypes
internal import STUN

/// From an admitted Allocate to its open relay ports: one after another, each tried anew where another process has
/// it (RFC 8656 section 7.2).
extension Relay {
  /// Asks for the socket of the next family that the request still wants; creates the allocation once it has all
  /// that can be had.
  mutating func openNextPort(_ ticket: RecordID, now: Now) {
    guard let request = waiting[ticket], var pending = request.allocation else { return }
    guard let family = pending.families.first else {
      conclude(ticket, now: now)
      return
    }
    let place: (ordinal: Int, port: UInt16)
    if let reserved = pending.reserved {
      place = reserved
      // From here on the record of the port has it.
      pending.reserved = nil
    } else if !pending.usesReservation, pending.attempts < 16,
      let picked = portPicker.pick(
        family, parity: pending.parity, for: pending.owner(at: request.client), now: now.instant)
    {
      place = picked
    } else {
      if !pending.usesReservation { commands.append(.event(.relayPortsExhausted(family))) }
      doWithout(family, ticket, now: now)
      return
    }
    pending.attempts += 1
    waiting[ticket]?.allocation = pending
    let index = relayPorts.insert(
      RelayPort(
        ordinal: UInt8(truncatingIfNeeded: place.ordinal), port: place.port, family: family,
        transport: pending.transport, ticket: ticket, expiresAt: now.instant, claimsNext: pending.parity == .pair && !pending.usesReservation))
    let address = SocketAddress(relayed.entries[place.ordinal].local, port: place.port)
    let id = relayPorts.id(of: index)
    commands.append(pending.transport == .tcp ? .openRelayListener(id, address) : .openRelayPort(id, address))
  }

  /// No port of this family can be had: a dual allocation goes on with the other one, if there is one (section 7.2,
  /// step 9).
  private mutating func doWithout(_ family: IPAddress.Family, _ ticket: RecordID, now: Now) {
    guard var pending = waiting[ticket]?.allocation else { return }
    pending.families.removeFirst()
    guard pending.families.count + pending.opened.count > 0 else {
      refuseLate(ticket, .insufficientCapacity)
      return
    }
    pending.addressError = (family, .insufficientCapacity)
    pending.attempts = 0
    waiting[ticket]?.allocation = pending
    openNextPort(ticket, now: now)
  }

  // MARK: - The kernel's answer

  /// The socket of `openRelayPort` could not be opened. Another port is tried unless this one was reserved.
  public mutating func relayPortFailed(_ id: RecordID, now: Now) {
    guard let index = relayPorts.index(of: id) else { return }
    let port = relayPorts[index]
    giveBack(index)
    guard waiting[port.ticket]?.allocation != nil else { return }
    openNextPort(port.ticket, now: now)
  }

  /// The socket of `openRelayPort` is open: the allocation comes to be, unless it wants another one still, and its
  /// answer goes out.
  public mutating func relayPortOpened(_ id: RecordID, now: Now) {
    guard let index = relayPorts.index(of: id) else {
      // Closing what is not there does nothing: one of the two is the right one.
      commands.append(.closeRelayPort(id))
      commands.append(.closeRelayListener(id))
      return
    }
    let ticket = relayPorts[index].ticket
    guard var pending = waiting[ticket]?.allocation else {
      discard(index, id)
      return
    }
    pending.opened.append(id)
    pending.families.removeFirst()
    pending.attempts = 0
    waiting[ticket]?.allocation = pending
    openNextPort(ticket, now: now)
  }

  /// Everything that can be had is there.
  private mutating func conclude(_ ticket: RecordID, now: Now) {
    guard let request = leaveWaitingRoom(ticket), let pending = request.allocation else { return }
    if liveAllocation(on: request.client, now: now) != nil {
      // Another Allocate on this five-tuple was faster.
      giveBack(pending, of: request)
      answerLate(request, pending, .allocationMismatch)
      return
    }
    let index = create(pending, for: request, now: now)
    let disposition = answerAllocate(
      index, transactionID: request.transactionID, by: pending.principal, fingerprint: pending.hasFingerprint)
    deliverLate(disposition, to: request.client)
  }

  private mutating func create(_ pending: PendingAllocation, for request: WaitingRoom.Request, now: Now) -> Int {
    let expiresAt = now.instant.advanced(bySeconds: pending.lifetime)
    let index = allocations.insert(Allocation(client: request.client, expiresAt: expiresAt))
    allocations[index].transport = pending.transport
    while details.count <= index { details.append(nil) }
    var made = AllocationDetails(
      realm: pending.principal.realm, username: pending.principal.username, quotaName: pending.principal.quotaName, keys: pending.principal.keys,
      transactionID: request.transactionID, grantedLifetime: pending.lifetime, createdAt: now.instant,
      admittedAddress: request.client.address.address)
    made.credentialEnd = pending.principal.remaining.map { now.wallSeconds + UInt64($0) }
    made.addressError = pending.addressError
    for id in pending.opened {
      guard let portIndex = relayPorts.index(of: id) else { continue }
      let port = relayPorts[portIndex]
      switch port.family {
      case .ipv4: (allocations[index].ipv4Port, allocations[index].ipv4Generation) = (id.index, id.generation)
      case .ipv6: (allocations[index].ipv6Port, allocations[index].ipv6Generation) = (id.index, id.generation)
      }
      relayPorts[portIndex].allocation = UInt32(truncatingIfNeeded: index)
      relayPorts[portIndex].expiresAt = expiresAt
      if port.claimsNext {
        made.reservationToken = reserveNext(
          port, for: pending.principal.reservationHolder, pending.owner(at: request.client), now: now)
      }
      relayed.publish(Int(port.ordinal), port.port, port.transport, shard: shard)
      // What is handed over without the kernel is datagrams.
      if port.transport == .udp { ownRelays.insert(relayed.key(Int(port.ordinal), port.port), portIndex) }
    }
    if pending.wantsTicket { made.mobility = Mobility() }
    details[index] = made
    makeTicket(for: index)
    fiveTuples.insert(request.client.key, index)
    allocations[index].timer = timers.schedule(.allocation, allocations.id(of: index), at: expiresAt)
    counters.allocationsMade &+= 1
    commands.append(.event(.allocationCreated(summary(of: index, now: now))))
    return index
  }

  /// Holds the upper port of a pair for 30 s for whoever shows the token. No socket is open meanwhile.
  private mutating func reserveNext(
    _ port: RelayPort, for username: [UInt8], _ owner: PortOwner, now: Now
  ) -> UInt64 {
    let upper = port.port + 1
    let stamp = relayed.reserve(Int(port.ordinal), upper, now: now.instant)
    let index = reservations.insert(
      Reservation(ordinal: port.ordinal, port: upper, stamp: stamp, owner: owner.tag))
    reservationCounts[owner.tag, default: 0] += 1
    _ = timers.schedule(.reservation, reservations.id(of: index), at: now.instant.advanced(bySeconds: 30))
    return tokens.token(ordinal: Int(port.ordinal), port: upper, username: username)
  }

  /// Half a minute is over: whoever has not come for the port comes too late.
  mutating func expireReservation(_ id: RecordID) {
    guard let index = reservations.index(of: id) else { return }
    let reservation = reservations[index]
    forgetReservation(index)
    relayed.releaseReservation(Int(reservation.ordinal), reservation.port, stamp: reservation.stamp)
  }

  private mutating func forgetReservation(_ index: Int) {
    let owner = reservations[index].owner
    reservations.remove(index)
    let count = reservationCounts[owner] ?? 0
    reservationCounts[owner] = count > 1 ? count - 1 : nil
  }

  /// Whether a user may reserve one more port. Those that somebody has come for count no longer; they are looked for
  /// only where it matters, since any shard may have given them away.
  mutating func mayReserve(_ owner: PortOwner) -> Bool {
    guard reservationCounts[owner.tag, default: 0] >= Self.reservationLimit else { return true }
    for index in 0..<reservations.upperBound where reservations.isOccupied(index) && reservations[index].owner == owner.tag {
      let held = reservations[index]
      if !relayed.isReserved(Int(held.ordinal), held.port, stamp: held.stamp) { forgetReservation(index) }
    }
    return reservationCounts[owner.tag, default: 0] < Self.reservationLimit
  }

  /// Reservations outlive the allocations that made them, and so no quota counts them: this many of one user at a time
  /// on one shard.
  static let reservationLimit = 16

  mutating func discard(_ portIndex: Int, _ id: RecordID) {
    let transport = relayPorts[portIndex].transport
    giveBack(portIndex)
    commands.append(closing(id, transport))
  }

  func closing(_ id: RecordID, _ transport: RelayTransport) -> Command {
    transport == .tcp ? .closeRelayListener(id) : .closeRelayPort(id)
  }

  /// Forgets a relay port that no allocation has, and what was claimed with it.
  private mutating func giveBack(_ portIndex: Int) {
    let port = relayPorts[portIndex]
    relayPorts.remove(portIndex)
    relayed.release(Int(port.ordinal), port.port)
    if port.claimsNext { relayed.release(Int(port.ordinal), port.port + 1) }
  }
}
