internal import NetworkTypes
internal import STUN
internal import Tables

/// The mobility state of an allocation whose client may move (RFC 8016).
struct Mobility {
  /// The current ticket, and its number.
  var ticket: [UInt8] = []
  var epoch: UInt16 = 0
  /// The previous ticket's number, and the time until which it is valid for retransmissions of the Refresh that used
  /// it.
  var previousEpoch: UInt16?
  var previousUntil = Instant(nanoseconds: 0)
  var transactionID: TransactionID?
  /// The five-tuple that the client has announced but not yet sent data from; at most one.
  var pending: ClientPath?
  /// Whether the allocation's connection has closed and its client has not returned with the ticket.
  var isDetached = false
}

/// Mobility (RFC 8016): a Refresh with a ticket moves an allocation to another five-tuple.
extension Relay {
  /// The time for which the previous ticket is valid for retransmissions (section 3.2.2 requires at least 30 s).
  private static let oldTicketLifetime = Duration.seconds(40)

  /// Checks the MOBILITY-TICKET of an Allocate (section 3.1.2).
  func checkMobility(_ message: borrowing MessageView) throws(Refusal) {
    guard let range = message.range(of: .mobilityTicket) else { return }
    guard range.isEmpty else { throw .badRequest(.ticketBeforeAllocation) }
    guard allowsMobility else { throw .code(.mobilityForbidden) }
  }

  /// Without credentials the server could not distinguish the client from an observer who has seen its ticket (section
  /// 5).
  private var allowsMobility: Bool { settings.policy.allowsMobility && !settings.policy.isAnonymous }

  mutating func makeTicket(for slot: Slot<Allocation>) {
    guard let epoch = allocations[slot].details.mobility?.epoch else { return }
    let ticket = MobilityTicket(
      shard: UInt8(truncatingIfNeeded: shard), allocation: allocations.handle(of: slot), epoch: epoch,
      user: MobilityTicket.tag(ofUser: allocations[slot].details.username))
    allocations[slot].details.mobility?.ticket = tickets.seal(ticket)
  }

  /// Handles a Refresh with MOBILITY-TICKET (section 3.2.2): the ticket, not the five-tuple, names the allocation.
  mutating func refreshMoved(_ request: borrowing Request) throws(Refusal) -> Disposition {
    guard allowsMobility else { throw .code(.mobilityForbidden) }
    try request.checkForm()
    guard let value = request.message.value(of: .mobilityTicket), let ticket = tickets.open(value) else {
      throw .badRequest(.foreignTicket)
    }
    // With access tokens the user name is that of a key, which may change; the ticket itself is the secret.
    guard
      request.principal.credentialTimeLeft != nil
        || ticket.user == MobilityTicket.tag(ofUser: request.principal.username)
    else { throw .code(.wrongCredentials) }
    if Int(ticket.shard) != shard {
      guard
        let disposition = forward(
          request.message.bytes, to: Int(ticket.shard), of: ticket.user, from: request.client, now: request.now)
      else { throw .code(.allocationMismatch) }
      return disposition
    }
    guard let slot = allocations.slot(of: ticket.allocation), allocations[slot].expiresAt > request.now.instant,
      let mobility = allocations[slot].details.mobility
    else { throw .code(.allocationMismatch) }
    guard isOwner(request.principal, of: slot) else { throw .code(.wrongCredentials) }

    if isRetransmission(request, ticket, mobility, of: slot) { return try refresh(slot, request, movingTo: nil) }
    guard ticket.epoch == mobility.epoch else { throw .badRequest(.usedTicket) }
    if let present = liveAllocation(on: request.client, now: request.now) {
      // On the allocation's own five-tuple there is no move (400); a five-tuple with another allocation is refused
      // (437).
      throw present == slot ? .badRequest(.nothingToMove) : .code(.allocationMismatch)
    }
    return try refresh(slot, request, movingTo: request.client)
  }

  /// Whether this is a retransmission of the Refresh that made the last move, on the new five-tuple: the answer was
  /// lost, and the client has only the old ticket.
  private func isRetransmission(
    _ request: borrowing Request, _ ticket: MobilityTicket, _ mobility: Mobility, of slot: Slot<Allocation>
  ) -> Bool {
    guard let previous = mobility.previousEpoch, ticket.epoch == previous,
      request.now.instant < mobility.previousUntil
    else { return false }
    if let pending = mobility.pending { return pending.key == request.client.key }
    return !mobility.isDetached && allocations[slot].client.key == request.client.key
      && request.message.transactionID == mobility.transactionID
  }

  /// Records the client's new five-tuple. The old one stays in use until data comes from the new one; if the old
  /// connection is closed, the new one replaces it at once.
  mutating func move(_ slot: Slot<Allocation>, to client: ClientPath, _ transactionID: TransactionID, now: Now) {
    guard var mobility = allocations[slot].details.mobility else { return }
    if let abandoned = mobility.pending { allocations.forget(abandoned) }
    mobility.previousEpoch = mobility.epoch
    mobility.previousUntil = now.instant.advanced(by: Self.oldTicketLifetime)
    mobility.transactionID = transactionID
    mobility.epoch &+= 1
    if mobility.isDetached {
      mobility.isDetached = false
      mobility.pending = nil
      allocations[slot].client = client
    } else {
      mobility.pending = client
    }
    allocations[slot].hasPendingMove = mobility.pending != nil
    allocations.add(client, to: slot)
    allocations[slot].details.mobility = mobility
    makeTicket(for: slot)
  }

  /// Completes a pending move when a message comes from the new five-tuple, which ends the old one (section 3.2.2).
  ///
  /// Beyond the RFC, requests of the owner complete it too: a client that requests permissions or channels on the new
  /// five-tuple has moved, and coturn's clients close the old socket without sending data first.
  mutating func completeMoveIfPending(of slot: Slot<Allocation>, by client: ClientPath) {
    guard let pending = allocations[slot].details.mobility?.pending, pending.key == client.key else { return }
    completeMove(of: slot, to: pending)
  }

  private mutating func completeMove(of slot: Slot<Allocation>, to path: ClientPath) {
    allocations.forget(allocations[slot].client)
    allocations[slot].client = path
    allocations[slot].hasPendingMove = false
    allocations[slot].details.mobility?.pending = nil
  }

  /// Handles the closed connection of an allocation with a ticket: it continues over the other connection, or waits for
  /// the client's return with the ticket, and stays counted in the quota. False if the allocation has no ticket and
  /// ends.
  mutating func detach(_ slot: Slot<Allocation>, from client: ClientPath) -> Bool {
    guard let mobility = allocations[slot].details.mobility else { return false }
    if let pending = mobility.pending {
      if pending.key == client.key {
        allocations.forget(pending)
        allocations[slot].hasPendingMove = false
        allocations[slot].details.mobility?.pending = nil
      } else {
        completeMove(of: slot, to: pending)
      }
      return true
    }
    allocations.forget(client)
    allocations[slot].details.mobility?.isDetached = true
    return true
  }
}
