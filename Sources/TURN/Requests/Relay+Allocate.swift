public import NetworkTypes
internal import STUN
public import Tables

/// Allocate (RFC 8656 section 7.2).
extension Relay {
  mutating func allocate(_ request: borrowing Request) throws(Refusal) -> Disposition {
    let message = request.message
    if let slot = liveAllocation(on: request.client, now: request.now) {
      guard isRetransmission(request, of: slot) else { throw .code(.allocationMismatch) }
      return answerAllocate(
        slot, transactionID: message.transactionID, by: request.principal, fingerprint: message.has(.fingerprint))
    }
    if pending.contains(request.client, message.transactionID) { return .deferred }
    guard !PeerRules.isTunneled(request.client.address.address) else { throw .code(.forbidden) }

    var allocation = try plan(request)
    if !settings.policy.isAnonymous, let server = alternateServer(for: request.client) { throw .redirect(server) }
    if settings.isDraining { throw .code(.insufficientCapacity) }
    if allocation.parity == .pair, !reservations.hasRoom(for: allocation.owner(at: request.client), in: relayed) {
      throw .limit(.reservations)
    }
    if let token = try? message.reservationToken() {
      guard let address = tokens.read(token, username: request.principal.reservationHolder),
        relayed.claimReserved(address)
      else { throw .code(.insufficientCapacity) }
      allocation.reserved = address
      allocation.usesReservation = true
      allocation.families = [relayed.local(address).family]
    }
    let isKnown = request.principal.key != nil
    guard let ticket = wait(request.received, isProven: isKnown) else {
      if let address = allocation.reserved { relayed.release(address) }
      throw .drop(.tooManyWaiting)
    }
    pending[allocation: ticket] = allocation
    commands.append(.admit(ticket: ticket, request.principal.holder(at: request.client)))
    return .deferred
  }

  /// Whether this is a retransmission of the allocation's Allocate. Streams have no retransmissions.
  private func isRetransmission(_ request: borrowing Request, of slot: Slot<Allocation>) -> Bool {
    allocations[slot].details.transactionID == request.message.transactionID
      && allocations[slot].details.username == request.principal.username && !request.client.transport.isStream
      && request.now.instant < allocations[slot].details.createdAt.advanced(by: PendingRequests.timeout)
  }

  /// The checks of section 7.2 that need only the request, in the order of the text.
  private func plan(_ request: borrowing Request) throws(Refusal) -> PendingAllocation {
    let message = request.message
    let malformed = message.malformedAttribute
    if malformed == .requestedTransport { throw .malformed(.requestedTransport) }
    guard let number = try? message.requestedTransport() else { throw .badRequest(.noTransport) }
    guard let transport = RelayTransport(rawValue: number), transport == .udp || settings.policy.relaysTCP else {
      throw .code(.unsupportedTransportProtocol)
    }
    if let malformed { throw .malformed(malformed) }
    if transport == .tcp { try checkTCP(request) }
    let (families, addressError, parity) = try families(of: message)
    try checkMobility(message)
    var plan = PendingAllocation(
      principal: request.principal,
      lifetime: lifetime(for: try? message.lifetime(), request.principal, now: request.now),
      families: families, parity: parity, hasFingerprint: message.has(.fingerprint))
    plan.addressError = addressError
    plan.transport = transport
    plan.wantsTicket = message.has(.mobilityTicket)
    plan.roundTripMicroseconds = roundTripMicroseconds(of: request)
    return plan
  }

  /// The requested families of an Allocate, the family that is not available, and the accepted ports (section 7.2,
  /// steps 5 to 9).
  private func families(
    of message: borrowing MessageView
  ) throws(Refusal) -> ([IPAddress.Family], (family: IPAddress.Family, code: ErrorCode)?, PortPicker.Parity) {
    let reservation = message.has(.reservationToken)
    let evenPort = try? message.evenPort()
    let requested = try? message.addressFamily(.requestedAddressFamily)
    let additional = try? message.addressFamily(.additionalAddressFamily)
    if reservation, evenPort != nil || requested != nil || additional != nil { throw .badRequest(.reservedPort) }
    if requested != nil, additional != nil { throw .badRequest(.twoFamilies) }
    var family = IPAddress.Family.ipv4
    if let requested {
      guard let known = IPAddress.Family(rawValue: requested) else { throw .code(.addressFamilyNotSupported) }
      family = known
    }
    if !reservation, !relayed.supports(family) { throw .code(.addressFamilyNotSupported) }
    if evenPort == true, additional != nil { throw .badRequest(.pairOfTwoFamilies) }
    // Only IPv6 can be the additional family (section 7.2, step 9).
    if let additional, additional != IPAddress.Family.ipv6.rawValue { throw .badRequest(.additionalIPv4) }
    let parity: PortPicker.Parity = evenPort.map { $0 ? .pair : .even } ?? .any
    guard additional != nil else { return ([family], nil, parity) }
    return relayed.supports(.ipv6)
      ? ([family, .ipv6], nil, parity) : ([family], (.ipv6, .addressFamilyNotSupported), parity)
  }

  /// The granted lifetime: at most the maximum, at least the default (sections 7.2 and 8.2), and no longer than an
  /// access token is valid; with `CredentialExpiryPolicy.close` no longer than a time-limited name.
  ///
  /// - Parameter wish: the LIFETIME of the request, in seconds.
  func lifetime(for wish: UInt32?, _ principal: Principal, now: Now) -> Duration {
    let granted = wish.map {
      max(settings.policy.defaultLifetime, min(Duration(wireSeconds: $0), settings.policy.maximumLifetime))
    }
    let lifetime = granted ?? settings.policy.defaultLifetime
    if let left = principal.credentialTimeLeft { return min(lifetime, left) }
    guard settings.policy.onCredentialExpiry == .close, let end = principal.nameExpiry else { return lifetime }
    return min(lifetime, max(end.duration(since: now.wall), .seconds(1)))
  }

  // MARK: - The ledger's answer

  /// The ledger's answer to `admit`, with the same holder. An admission is released if the request no longer waits.
  public mutating func admitted(
    _ ticket: Handle<PendingRequest>, _ admission: Admission, _ holder: QuotaHolder, now: Now
  ) {
    guard pending[allocation: ticket] != nil else {
      if admission == .granted { commands.append(.release(holder)) }
      return
    }
    switch admission {
    case .granted:
      pending[allocation: ticket]?.isAdmitted = true
      openNextPort(ticket, now: now)
    case .quotaReached: refuseLate(ticket, .allocationQuotaReached, now: now)
    case .noCapacity: refuseLate(ticket, .insufficientCapacity, now: now)
    }
  }

  // MARK: - Answers

  mutating func answerAllocate(
    _ slot: Slot<Allocation>, transactionID: TransactionID, by principal: Principal, fingerprint: Bool
  ) -> Disposition {
    let details = allocations[slot].details
    beginSuccess(.allocate, transactionID)
    for address in relayedAddresses(of: slot) { writer.append(.xorRelayedAddress, xor: address) }
    writer.append(.lifetime, details.grantedLifetime.wholeSeconds)
    writer.append(.xorMappedAddress, xor: allocations[slot].client.address)
    if let token = details.reservationToken { writer.append(.reservationToken, token) }
    if let mobility = details.mobility { writer.append(.mobilityTicket, mobility.ticket) }
    if let failed = details.addressError { writer.append(addressErrorOf: failed.family.rawValue, failed.code) }
    return finish(by: principal, fingerprint: fingerprint)
  }

  /// The advertised relayed transport addresses of an allocation, IPv4 first.
  func relayedAddresses(of slot: Slot<Allocation>) -> [SocketAddress] {
    allocations[slot].ports.compactMap { relayPorts.slot(of: $0) }.map { port in
      SocketAddress(relayPorts[port].advertised, port: relayPorts[port].address.port)
    }
  }

  /// Refuses an Allocate that waited.
  mutating func refuseLate(_ ticket: Handle<PendingRequest>, _ code: ErrorCode, now: Now) {
    guard let request = pending.remove(ticket, timers: &timers), let allocation = request.allocation else { return }
    release(allocation, of: request)
    answerLate(request, allocation, code, now: now)
  }

  /// Releases the resources of an allocation that is not made: a reserved port, open ports, a part of the quota.
  mutating func release(_ allocation: PendingAllocation, of request: PendingRequest) {
    if let address = allocation.reserved { relayed.release(address) }
    for handle in allocation.opened { discard(handle) }
    if allocation.isAdmitted { commands.append(.release(allocation.principal.holder(at: request.client))) }
  }

  mutating func answerLate(
    _ request: PendingRequest, _ allocation: PendingAllocation, _ code: ErrorCode, now: Now
  ) {
    let bytes = request.bytes
    guard let message = try? MessageView(bytes.span.rawBytes) else { return }
    let received = ReceivedMessage(message, from: request.client, now: now, arrivedAt: request.arrivedAt)
    let disposition = refuse(Request(received, by: allocation.principal), .code(code))
    deliverLate(disposition, to: request.client, since: request.arrivedAt)
  }
}
