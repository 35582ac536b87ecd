public import NetworkTypes
internal import STUN

/// An allocation on its way: what the answer needs once the ledger and the kernel have had their say.
struct PendingAllocation {
  var principal: Principal
  var lifetime: UInt32
  /// The families of the relayed addresses that are still to be had, in order: two for a dual allocation.
  var families: [IPAddress.Family]
  /// Relay ports that are open already, waiting for the other one.
  var opened: [RecordID] = []
  /// The family of a dual allocation that could not be had, and why (RFC 8656 section 7.2, step 9).
  var addressError: (family: IPAddress.Family, code: ErrorCode)?
  var parity: PortPicker.Parity
  var transport = RelayTransport.udp
  /// The port that a token has reserved, until its socket is on the way.
  var reserved: (ordinal: Int, port: UInt16)?
  /// Whether a token was shown: no other port will do.
  var usesReservation = false
  var hasFingerprint: Bool
  /// Whether the client may move (RFC 8016).
  var wantsTicket = false
  /// Whether the ledger counts it.
  var isAdmitted = false
  /// Ports of the current family tried that turned out to be taken by another process.
  var attempts = 0

  /// Whom a port is quarantined from everybody else for.
  func owner(at client: ClientPath) -> PortOwner { PortOwner(username: principal.quotaName, client: client) }
}

/// What the ledger says of one more allocation.
public enum Admission: Sendable {
  case granted
  /// The user or the address has as many as it may: 486.
  case quotaReached
  /// The server has as many as it may: 508.
  case noCapacity
}

/// Allocate (RFC 8656 section 7.2).
extension Relay {
  /// The allocation on a five-tuple. One whose time is up counts as gone from that very instant, although its
  /// timer has not fired yet.
  mutating func liveAllocation(on client: ClientPath, now: Now) -> Int? {
    guard let index = fiveTuples.find(client.key) else { return nil }
    guard allocations[index].expiresAt > now.instant else {
      end(allocation: index, .expired, now: now)
      return nil
    }
    return index
  }

  mutating func allocate(
    _ message: borrowing MessageView, from client: ClientPath, by principal: Principal, now: Now
  ) -> Disposition {
    if let index = liveAllocation(on: client, now: now) {
      guard let made = details[index], made.transactionID == message.transactionID, made.username == principal.username,
        !client.transport.isStream, now.instant < made.createdAt.advanced(bySeconds: 40)
      else { return error(.allocationMismatch, message, by: principal) }
      return answerAllocate(index, transactionID: made.transactionID, by: principal, fingerprint: message.has(.fingerprint))
    }
    if waiting.contains(client, message.transactionID) { return .waiting }
    guard !PeerRules.isTunneled(client.address.address) else { return error(.forbidden, message, by: principal) }

    var pending: PendingAllocation
    switch plan(message, from: client, by: principal) {
    case .success(let plan): pending = plan
    case .failure(let refusal): return error(refusal.code, message, by: principal)
    }
    if !settings.isAnonymous, let server = alternateServer(for: client) {
      return redirect(message, to: server, by: principal)
    }
    if settings.isDraining { return error(.insufficientCapacity, message, by: principal) }
    if pending.parity == .pair, !mayReserve(pending.owner(at: client)) {
      return error(.insufficientCapacity, message, by: principal)
    }
    if let token = try? message.reservationToken() {
      guard let place = tokens.read(token, username: principal.reservationHolder), relayed.claimReserved(place.ordinal, place.port) else {
        return error(.insufficientCapacity, message, by: principal)
      }
      pending.reserved = place
      pending.usesReservation = true
      pending.families = [relayed.entries[place.ordinal].local.family]
    }
    guard let ticket = wait(message.bytes, message.transactionID, from: client, now: now) else {
      if let place = pending.reserved { relayed.release(place.ordinal, place.port) }
      return .drop(.tooManyWaiting)
    }
    waiting[ticket]?.allocation = pending
    commands.append(.admit(ticket: ticket, principal.holder(at: client)))
    return .waiting
  }

  private struct Refusal: Error {
    var code: ErrorCode
  }

  /// The checks of section 7.2 that need nothing but the request, in the order of the text.
  private func plan(
    _ message: borrowing MessageView, from client: ClientPath, by principal: Principal
  ) -> Result<PendingAllocation, Refusal> {
    do {
      guard let transport = try message.requestedTransport() else { return .failure(Refusal(code: .badRequest)) }
      guard let transport = RelayTransport(rawValue: transport), transport == .udp || settings.relaysTCP else {
        return .failure(Refusal(code: .unsupportedTransportProtocol))
      }
      guard message.isWellFormed else { return .failure(Refusal(code: .badRequest)) }
      if transport == .tcp, !allowsTCP(message, from: client) { return .failure(Refusal(code: .badRequest)) }
      let reservation = try message.reservationToken()
      let evenPort = try message.evenPort()
      let requested = try message.addressFamily(.requestedAddressFamily)
      let additional = try message.addressFamily(.additionalAddressFamily)
      if reservation != nil, evenPort != nil || requested != nil || additional != nil {
        return .failure(Refusal(code: .badRequest))
      }
      if requested != nil, additional != nil { return .failure(Refusal(code: .badRequest)) }
      var family = IPAddress.Family.ipv4
      if let requested {
        guard let known = IPAddress.Family(rawValue: requested) else {
          return .failure(Refusal(code: .addressFamilyNotSupported))
        }
        family = known
      }
      if reservation == nil, !relayed.supports(family) { return .failure(Refusal(code: .addressFamilyNotSupported)) }
      if evenPort == true, additional != nil { return .failure(Refusal(code: .badRequest)) }
      // Only IPv6 can be the additional family (section 7.2, step 9).
      if let additional, additional != IPAddress.Family.ipv6.rawValue { return .failure(Refusal(code: .badRequest)) }
      let parity: PortPicker.Parity = evenPort.map { $0 ? .pair : .even } ?? .any
      var plan = PendingAllocation(
        principal: principal, lifetime: lifetime(for: try message.lifetime(), principal), families: [family], parity: parity,
        hasFingerprint: message.has(.fingerprint))
      if additional != nil {
        if relayed.supports(.ipv6) {
          plan.families.append(.ipv6)
        } else {
          plan.addressError = (.ipv6, .addressFamilyNotSupported)
        }
      }
      if let refusal = mobilityRefusal(message) { return .failure(Refusal(code: refusal)) }
      plan.transport = transport
      plan.wantsTicket = message.has(.mobilityTicket)
      return .success(plan)
    } catch {
      return .failure(Refusal(code: .badRequest))
    }
  }

  /// What a wish for a lifetime comes to: at most the maximum, at least the default (sections 7.2 and 8.2), and no longer
  /// than an access token lasts.
  func lifetime(for wish: UInt32?, _ principal: Principal) -> UInt32 {
    let granted = wish.map { max(settings.defaultLifetime, min($0, settings.maximumLifetime)) }
    return min(granted ?? settings.defaultLifetime, principal.remaining ?? .max)
  }

  // MARK: - The ledger's answer

  /// The ledger's answer to `admit`, with what it was asked. A grant that nobody waits for any more is given back.
  public mutating func admitted(
    _ ticket: RecordID, _ admission: Admission, _ holder: QuotaHolder, now: Now
  ) {
    guard waiting[ticket]?.allocation != nil else {
      if admission == .granted { commands.append(.release(holder)) }
      return
    }
    switch admission {
    case .granted:
      waiting[ticket]?.allocation?.isAdmitted = true
      openNextPort(ticket, now: now)
    case .quotaReached: refuseLate(ticket, .allocationQuotaReached)
    case .noCapacity: refuseLate(ticket, .insufficientCapacity)
    }
  }

  // MARK: - Answers

  mutating func answerAllocate(
    _ index: Int, transactionID: TransactionID, by principal: Principal, fingerprint: Bool
  ) -> Disposition {
    guard let made = details[index] else { return .drop(.noAllocation) }
    let allocation = allocations[index]
    writer.begin(MessageType(.allocate, .success), transactionID: transactionID)
    for name in [allocation.ipv4Port, allocation.ipv6Port] where name != .max {
      writer.append(.xorRelayedAddress, xor: advertisedAddress(ofPort: Int(name)))
    }
    writer.append(.lifetime, made.grantedLifetime)
    writer.append(.xorMappedAddress, xor: allocation.client.address)
    if let token = made.reservationToken { writer.append(.reservationToken, token) }
    if let mobility = made.mobility { writer.append(.mobilityTicket, mobility.ticket) }
    if let failed = made.addressError { writer.append(addressErrorOf: failed.family.rawValue, failed.code) }
    appendSoftware()
    return finish(by: principal, fingerprint: fingerprint)
  }

  func advertisedAddress(ofPort index: Int) -> SocketAddress {
    let port = relayPorts[index]
    return SocketAddress(relayed.entries[Int(port.ordinal)].advertised, port: port.port)
  }

  mutating func refuseLate(_ ticket: RecordID, _ code: ErrorCode) {
    guard let request = leaveWaitingRoom(ticket), let pending = request.allocation else { return }
    giveBack(pending, of: request)
    answerLate(request, pending, code)
  }

  /// What was taken for an allocation that does not come to be: a reserved port, open ports, a place in the quota.
  mutating func giveBack(_ pending: PendingAllocation, of request: WaitingRoom.Request) {
    if let place = pending.reserved { relayed.release(place.ordinal, place.port) }
    for id in pending.opened {
      if let index = relayPorts.index(of: id) { discard(index, id) }
    }
    if pending.isAdmitted {
      commands.append(.release(pending.principal.holder(at: request.client)))
    }
  }

  mutating func answerLate(_ request: WaitingRoom.Request, _ pending: PendingAllocation, _ code: ErrorCode) {
    let bytes = request.bytes
    guard let message = try? MessageView(bytes.span.rawBytes) else { return }
    let disposition = error(code, message, by: pending.principal)
    deliverLate(disposition, to: request.client)
  }
}
