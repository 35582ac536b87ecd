internal import Crypto
public import NetworkTypes
internal import STUN

/// An allocation on its way: what the answer needs once the ledger and the kernel have had their say.
struct PendingAllocation {
  var principal: Principal
  var lifetime: UInt32
  var family: IPAddress.Family
  var parity: PortPicker.Parity
  /// The port that a token has reserved.
  var reserved: (ordinal: Int, port: UInt16)?
  var hasFingerprint: Bool
  /// Whether the ledger counts it.
  var isAdmitted = false
  /// Ports tried that turned out to be taken by another process.
  var attempts = 0
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
      guard let made = details[index], made.transactionID == message.transactionID, made.username == principal.username
      else { return error(.allocationMismatch, message, by: principal) }
      return answerAllocate(index, transactionID: made.transactionID, by: principal, fingerprint: message.has(.fingerprint))
    }
    if waiting.contains(client, message.transactionID) { return .waiting }

    var pending: PendingAllocation
    switch plan(message, by: principal) {
    case .success(let plan): pending = plan
    case .failure(let refusal): return error(refusal.code, message, by: principal)
    }
    if settings.isDraining { return error(.insufficientCapacity, message, by: principal) }
    if let token = try? message.reservationToken() {
      guard let place = tokens.read(token), relayed.claimReserved(place.ordinal, place.port) else {
        return error(.insufficientCapacity, message, by: principal)
      }
      pending.reserved = place
      pending.family = relayed.entries[place.ordinal].local.family
    }
    guard let ticket = wait(message.bytes, message.transactionID, from: client, now: now) else {
      if let place = pending.reserved { relayed.release(place.ordinal, place.port) }
      return .drop(.tooManyWaiting)
    }
    waiting[ticket]?.allocation = pending
    commands.append(.admit(ticket: ticket, user: principal.quotaName, address: client.address.address))
    return .waiting
  }

  private struct Refusal: Error {
    var code: ErrorCode
  }

  /// The checks of section 7.2 that need nothing but the request, in the order of the text.
  private func plan(
    _ message: borrowing MessageView, by principal: Principal
  ) -> Result<PendingAllocation, Refusal> {
    do {
      guard let transport = try message.requestedTransport() else { return .failure(Refusal(code: .badRequest)) }
      guard transport == RelayTransport.udp.rawValue else {
        return .failure(Refusal(code: .unsupportedTransportProtocol))
      }
      if message.has(.dontFragment) { return .failure(Refusal(code: .unknownAttribute)) }
      let reservation = try message.reservationToken()
      let evenPort = try message.evenPort()
      let requested = try message.addressFamily(.requestedAddressFamily)
      if reservation != nil, evenPort != nil || requested != nil {
        return .failure(Refusal(code: .badRequest))
      }
      var family = IPAddress.Family.ipv4
      if let requested {
        guard let known = IPAddress.Family(rawValue: requested) else {
          return .failure(Refusal(code: .addressFamilyNotSupported))
        }
        family = known
      }
      if reservation == nil, !relayed.supports(family) { return .failure(Refusal(code: .addressFamilyNotSupported)) }
      let lifetime = lifetime(for: try message.lifetime())
      let parity: PortPicker.Parity = evenPort.map { $0 ? .pair : .even } ?? .any
      return .success(
        PendingAllocation(
          principal: principal, lifetime: lifetime, family: family, parity: parity,
          hasFingerprint: message.has(.fingerprint)))
    } catch {
      return .failure(Refusal(code: .badRequest))
    }
  }

  /// What a wish for a lifetime comes to: at most the maximum, at least the default (sections 7.2 and 8.2).
  func lifetime(for wish: UInt32?) -> UInt32 {
    guard let wish else { return settings.defaultLifetime }
    return max(settings.defaultLifetime, min(wish, settings.maximumLifetime))
  }

  // MARK: - The ledger's answer

  /// The ledger's answer to `admit`, with what it was asked. A grant that nobody waits for any more is given back.
  public mutating func admitted(
    _ ticket: RecordID, _ admission: Admission, user: [UInt8], address: IPAddress, now: Now
  ) {
    guard waiting[ticket]?.allocation != nil else {
      if admission == .granted { commands.append(.release(user: user, address: address)) }
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

  private mutating func openNextPort(_ ticket: RecordID, now: Now) {
    guard let request = waiting[ticket], var pending = request.allocation else { return }
    let place: (ordinal: Int, port: UInt16)
    if let reserved = pending.reserved {
      place = reserved
    } else if pending.attempts < 16, let picked = portPicker.pick(pending.family, parity: pending.parity) {
      place = picked
    } else {
      commands.append(.event(.relayPortsExhausted(pending.family)))
      refuseLate(ticket, .insufficientCapacity)
      return
    }
    pending.attempts += 1
    waiting[ticket]?.allocation = pending
    let index = relayPorts.insert(
      RelayPort(
        ordinal: UInt8(truncatingIfNeeded: place.ordinal), port: place.port, family: pending.family, ticket: ticket,
        claimsNext: pending.parity == .pair && pending.reserved == nil))
    let address = SocketAddress(relayed.entries[place.ordinal].local, port: place.port)
    commands.append(.openRelayPort(relayPorts.id(of: index), address))
  }

  // MARK: - The kernel's answer

  /// The socket of `openRelayPort` could not be opened. Another port is tried unless this one was reserved.
  public mutating func relayPortFailed(_ id: RecordID, now: Now) {
    guard let index = relayPorts.index(of: id) else { return }
    let port = relayPorts[index]
    giveBack(index)
    guard let pending = waiting[port.ticket]?.allocation else { return }
    if pending.reserved != nil {
      waiting[port.ticket]?.allocation?.reserved = nil
      refuseLate(port.ticket, .insufficientCapacity)
    } else {
      openNextPort(port.ticket, now: now)
    }
  }

  /// The socket of `openRelayPort` is open: the allocation comes to be, and its answer goes out.
  public mutating func relayPortOpened(_ id: RecordID, now: Now) {
    guard let portIndex = relayPorts.index(of: id) else {
      commands.append(.closeRelayPort(id))
      return
    }
    let port = relayPorts[portIndex]
    guard let request = leaveWaitingRoom(port.ticket), let pending = request.allocation else {
      discard(portIndex, id)
      return
    }
    if liveAllocation(on: request.client, now: now) != nil {
      // Another Allocate on this five-tuple was faster.
      discard(portIndex, id)
      commands.append(.release(user: pending.principal.quotaName, address: request.client.address.address))
      answerLate(request, pending, .allocationMismatch)
      return
    }
    let index = create(pending, for: request, on: portIndex, now: now)
    let disposition = answerAllocate(
      index, transactionID: request.transactionID, by: pending.principal, fingerprint: pending.hasFingerprint)
    deliverLate(disposition, to: request.client)
  }

  private mutating func create(
    _ pending: PendingAllocation, for request: WaitingRoom.Request, on portIndex: Int, now: Now
  ) -> Int {
    let port = relayPorts[portIndex]
    let expiresAt = now.instant.advanced(bySeconds: pending.lifetime)
    var allocation = Allocation(client: request.client, expiresAt: expiresAt)
    switch port.family {
    case .ipv4: allocation.ipv4Port = UInt32(truncatingIfNeeded: portIndex)
    case .ipv6: allocation.ipv6Port = UInt32(truncatingIfNeeded: portIndex)
    }
    let index = allocations.insert(allocation)
    while details.count <= index { details.append(nil) }
    var made = AllocationDetails(
      username: pending.principal.username, quotaName: pending.principal.quotaName, keys: pending.principal.keys,
      transactionID: request.transactionID,
      grantedLifetime: pending.lifetime, createdAt: now.instant)
    if port.claimsNext { made.reservationToken = reserveNext(port, now: now) }
    details[index] = made
    fiveTuples.insert(request.client.key, index)
    relayPorts[portIndex].allocation = UInt32(truncatingIfNeeded: index)
    relayed.publish(Int(port.ordinal), port.port)
    allocations[index].timer = timers.schedule(.allocation, allocations.id(of: index), at: expiresAt)
    counters.allocationsMade &+= 1
    commands.append(.event(.allocationCreated(summary(of: index, now: now))))
    return index
  }

  /// Holds the upper port of a pair for 30 s for whoever shows the token. No socket is open meanwhile.
  private mutating func reserveNext(_ port: RelayPort, now: Now) -> UInt64 {
    let upper = port.port + 1
    relayed.reserve(Int(port.ordinal), upper)
    // The timer's subject is the place itself: there is no record of a reservation.
    _ = timers.schedule(
      .reservation, RecordID(index: UInt32(port.ordinal), generation: UInt32(upper)),
      at: now.instant.advanced(bySeconds: 30))
    return tokens.token(ordinal: Int(port.ordinal), port: upper)
  }

  private mutating func discard(_ portIndex: Int, _ id: RecordID) {
    giveBack(portIndex)
    commands.append(.closeRelayPort(id))
  }

  /// Forgets a relay port that no allocation has, and what was claimed with it.
  private mutating func giveBack(_ portIndex: Int) {
    let port = relayPorts[portIndex]
    relayPorts.remove(portIndex)
    relayed.release(Int(port.ordinal), port.port)
    if port.claimsNext { relayed.release(Int(port.ordinal), port.port + 1) }
  }

  // MARK: - Answers

  private mutating func answerAllocate(
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
    appendSoftware()
    return finish(by: principal, fingerprint: fingerprint)
  }

  func advertisedAddress(ofPort index: Int) -> SocketAddress {
    let port = relayPorts[index]
    return SocketAddress(relayed.entries[Int(port.ordinal)].advertised, port: port.port)
  }

  private mutating func refuseLate(_ ticket: RecordID, _ code: ErrorCode) {
    guard let request = leaveWaitingRoom(ticket), let pending = request.allocation else { return }
    giveBack(pending, of: request)
    answerLate(request, pending, code)
  }

  /// What was taken for an allocation that does not come to be: a reserved port, a place in the quota.
  mutating func giveBack(_ pending: PendingAllocation, of request: WaitingRoom.Request) {
    if let place = pending.reserved { relayed.release(place.ordinal, place.port) }
    if pending.isAdmitted {
      commands.append(.release(user: pending.principal.quotaName, address: request.client.address.address))
    }
  }

  private mutating func answerLate(_ request: WaitingRoom.Request, _ pending: PendingAllocation, _ code: ErrorCode) {
    let bytes = request.bytes
    guard let message = try? MessageView(bytes.span.rawBytes) else { return }
    let disposition = error(code, message, by: pending.principal)
    deliverLate(disposition, to: request.client)
  }
}
