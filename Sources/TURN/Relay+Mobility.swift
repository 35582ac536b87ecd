internal import NetworkTypes
internal import STUN

/// What an allocation whose client may move knows of that (RFC 8016).
struct Mobility {
  /// The ticket that moves it next, and its number.
  var ticket: [UInt8] = []
  var epoch: UInt16 = 0
  /// The ticket before: good for retransmissions of the Refresh that used it up, until then.
  var previousEpoch: UInt16?
  var previousUntil = Instant(nanoseconds: 0)
  var transactionID: TransactionID?
  /// The five-tuple that the client has announced and sent no data from yet. Never more than one.
  var pending: ClientPath?
  /// The connection that it was made over is gone; whoever shows the ticket has it again.
  var isDetached = false
}

/// Mobility (RFC 8016): a Refresh with a ticket brings an allocation to another five-tuple.
extension Relay {
  /// What an Allocate with MOBILITY-TICKET is refused with, if it is (section 3.1.2).
  func mobilityRefusal(_ message: borrowing MessageView) -> ErrorCode? {
    guard let range = message.range(of: .mobilityTicket) else { return nil }
    guard range.isEmpty else { return .badRequest }
    return allowsMobility ? nil : .mobilityForbidden
  }

  /// Without credentials nobody could tell the client from who has seen its ticket (section 5).
  private var allowsMobility: Bool { settings.allowsMobility && !settings.isAnonymous }

  mutating func makeTicket(for index: Int) {
    guard var mobility = details[index]?.mobility, let made = details[index] else { return }
    mobility.ticket = tickets.seal(
      MobilityTicket(
        shard: UInt8(truncatingIfNeeded: shard), allocation: allocations.id(of: index), epoch: mobility.epoch,
        user: MobilityTicket.tag(ofUser: made.username)))
    details[index]?.mobility = mobility
  }

  /// A Refresh with MOBILITY-TICKET (section 3.2.2): the ticket, not the five-tuple, says which allocation.
  mutating func refreshMoved(
    _ message: borrowing MessageView, from client: ClientPath, by principal: Principal, now: Now
  ) -> Disposition {
    guard allowsMobility else { return error(.mobilityForbidden, message, by: principal) }
    guard let value = message.value(of: .mobilityTicket), let ticket = tickets.open(value), message.isWellFormed else {
      return error(.badRequest, message, by: principal)
    }
    // Tokens come under other keys' names in time; the ticket itself is the secret.
    guard principal.remaining != nil || ticket.user == MobilityTicket.tag(ofUser: principal.username) else {
      return error(.wrongCredentials, message, by: principal)
    }
    if Int(ticket.shard) != shard {
      return handOver(message.bytes, to: Int(ticket.shard), from: client, now: now)
        ?? error(.allocationMismatch, message, by: principal)
    }
    guard let index = allocations.index(of: ticket.allocation), allocations[index].expiresAt > now.instant,
      let mobility = details[index]?.mobility
    else { return error(.allocationMismatch, message, by: principal) }
    guard isOwner(principal, of: index) else {
      return error(.wrongCredentials, message, by: principal)
    }

    if isRetransmission(message.transactionID, ticket, mobility, of: index, from: client, now: now) {
      return refresh(index, message, by: principal, movingTo: nil, now: now)
    }
    guard ticket.epoch == mobility.epoch else { return error(.badRequest, message, by: principal) }
    if let present = liveAllocation(on: client, now: now) {
      // On one of its own five-tuples there is nothing to move; another allocation's cannot be taken.
      return error(present == index ? .badRequest : .allocationMismatch, message, by: principal)
    }
    return refresh(index, message, by: principal, movingTo: client, now: now)
  }

  /// Whether this is the Refresh that made the last move once more: its answer was lost, and the client knows only the
  /// old ticket. On the new five-tuple only, and no longer than 40 s (section 3.2.2 asks for 30 at least).
  private func isRetransmission(
    _ transactionID: TransactionID, _ ticket: MobilityTicket, _ mobility: Mobility, of index: Int,
    from client: ClientPath, now: Now
  ) -> Bool {
    guard let previous = mobility.previousEpoch, ticket.epoch == previous, now.instant < mobility.previousUntil else {
      return false
    }
    if let pending = mobility.pending { return pending.key == client.key }
    return !mobility.isDetached && allocations[index].client.key == client.key
      && transactionID == mobility.transactionID
  }

  /// The client has announced another five-tuple. The old one stays in use until data comes from the new one; where
  /// there is no old one any more, the new one takes its place at once.
  mutating func move(_ index: Int, to client: ClientPath, _ transactionID: TransactionID, now: Now) {
    guard var mobility = details[index]?.mobility else { return }
    if let abandoned = mobility.pending { fiveTuples.remove(abandoned.key) }
    mobility.previousEpoch = mobility.epoch
    mobility.previousUntil = now.instant.advanced(bySeconds: 40)
    mobility.transactionID = transactionID
    mobility.epoch &+= 1
    if mobility.isDetached {
      mobility.isDetached = false
      mobility.pending = nil
      allocations[index].client = client
    } else {
      mobility.pending = client
    }
    allocations[index].hasPendingMove = mobility.pending != nil
    fiveTuples.insert(client.key, index)
    details[index]?.mobility = mobility
    makeTicket(for: index)
  }

  /// Something has come in while a move is pending: data on the new five-tuple ends the old one (section 3.2.2).
  ///
  /// Requests of the allocation's owner there end it as well, which the RFC does not say: a client that asks for
  /// permissions or channels by the new way has gone over, and coturn's clients close the old socket without having
  /// sent any data.
  mutating func clientSpoke(on index: Int, from client: ClientPath) {
    guard let pending = details[index]?.mobility?.pending, pending.key == client.key else { return }
    completeMove(of: index, to: pending)
  }

  private mutating func completeMove(of index: Int, to path: ClientPath) {
    fiveTuples.remove(allocations[index].client.key)
    allocations[index].client = path
    allocations[index].hasPendingMove = false
    details[index]?.mobility?.pending = nil
  }

  /// A connection of a client that may move is gone: it goes on over the other one, or waits for its ticket, its
  /// place in the quota kept. False where the allocation has no ticket and ends.
  mutating func detach(_ index: Int, from client: ClientPath) -> Bool {
    guard let mobility = details[index]?.mobility else { return false }
    if let pending = mobility.pending {
      if pending.key == client.key {
        fiveTuples.remove(pending.key)
        allocations[index].hasPendingMove = false
        details[index]?.mobility?.pending = nil
      } else {
        completeMove(of: index, to: pending)
      }
      return true
    }
    fiveTuples.remove(client.key)
    details[index]?.mobility?.isDetached = true
    return true
  }

  /// Takes an allocation's five-tuples out of the table.
  mutating func forgetFiveTuples(of index: Int) {
    let mobility = details[index]?.mobility
    if mobility?.isDetached != true { fiveTuples.remove(allocations[index].client.key) }
    if let pending = mobility?.pending { fiveTuples.remove(pending.key) }
  }
}
