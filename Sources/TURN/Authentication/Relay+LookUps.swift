public import NetworkTypes
internal import STUN
public import Tables

/// Look-ups of names in a store.
extension Relay {
  mutating func lookUp(_ received: borrowing ReceivedMessage, _ claim: Claim) -> Disposition {
    if pending.contains(received.client, received.message.transactionID) { return .deferred }
    let isProven = liveAllocation(on: received.client, now: received.now) != nil
    guard let ticket = wait(received, isProven: isProven) else { return .drop(.tooManyWaiting) }
    commands.append(.lookUpKeys(ticket: ticket, realm: received.client.realm, user: claim.user))
    return .deferred
  }

  /// Stores a waiting request; nil if too many wait already. A quarter of the entries is kept for clients with a live
  /// allocation or a verified password. The requests of others are charged to strangers' memory.
  mutating func wait(_ received: borrowing ReceivedMessage, isProven: Bool) -> Handle<PendingRequest>? {
    let client = received.client
    let limit = isProven ? settings.waitingRequests : settings.waitingRequests / 4 * 3
    guard received.message.bytes.byteCount <= PendingRequest.longest,
      !pending.isFull(for: client, limit: limit, perSource: settings.waitingRequestsPerSource)
    else { return nil }
    let request = PendingRequest(
      bytes: received.message.bytes.copied(), client: client, transactionID: received.message.transactionID,
      arrivedAt: received.arrivedAt)
    return pending.insert(request, isProven: isProven, now: received.now.instant, timers: &timers)
  }

  /// The client of a waiting request; nil if the request no longer waits.
  public func path(ofTicket ticket: Handle<PendingRequest>) -> ClientPath? { pending.client(of: ticket) }

  /// The store's answer: the user's keys; nil if the store has no such user. A stale ticket is ignored.
  public mutating func keysFound(_ ticket: Handle<PendingRequest>, _ keys: CredentialKeys?, now: Now) {
    guard let request = pending.remove(ticket, timers: &timers) else { return }
    answer(request, with: resume(request, keys: keys, now: now), now: now)
  }

  /// The look-up was refused because of a limit: the client will retransmit its request.
  public mutating func lookUpRefused(_ ticket: Handle<PendingRequest>) {
    guard pending.remove(ticket, timers: &timers) != nil else { return }
    counters.count(.tooManyLookUps)
  }

  /// The store has failed: 500, and the client may try again (RFC 8489 section 14.8).
  public mutating func keysUnavailable(_ ticket: Handle<PendingRequest>, now: Now) {
    guard let request = pending.remove(ticket, timers: &timers) else { return }
    let bytes = request.bytes
    guard let message = try? MessageView(bytes.span.rawBytes) else { return }
    let received = ReceivedMessage(message, from: request.client, now: now, arrivedAt: request.arrivedAt)
    answer(request, with: unauthenticatedError(.serverError, received), now: now)
  }

  private mutating func answer(_ request: PendingRequest, with disposition: Disposition, now: Now) {
    if case .drop(let cause) = disposition {
      countDrop(cause, of: request.client, now: now)
    } else {
      deliverLate(disposition, to: request.client, since: request.arrivedAt)
    }
  }

  private mutating func resume(_ request: PendingRequest, keys: CredentialKeys?, now: Now) -> Disposition {
    let bytes = request.bytes
    guard let message = try? MessageView(bytes.span.rawBytes) else { return .drop(.malformed) }
    let received = ReceivedMessage(message, from: request.client, now: now, arrivedAt: request.arrivedAt)
    guard let claim = claim(of: received) else { return .drop(.malformed) }
    let realm = realms[request.client.realm].settings
    let name = claim.name ?? hashedName(claim.user, in: realm) ?? keys?.name
    // A configured user has only the configured password, which did not match.
    let isConfigured = name.map { realm.users[$0] != nil } ?? false
    guard let keys, let name else {
      tryNoKey(received, claim)
      let isKnown = isConfigured || name.map { mayBeTimeLimited($0, in: realm) } ?? false
      let user = isConfigured ? name.map { .name($0) } ?? claim.user : claim.user
      return refuseLogin(isKnown ? .wrongPassword : .unknownUser, user, received, claim.nonce)
    }
    guard let principal = verify(received, claim, name: name, quotaName: name, keys: keys), !isConfigured else {
      return refuseLogin(.wrongPassword, .name(name), received, claim.nonce)
    }
    return performIfFresh(Request(received, by: principal), claim.nonce)
  }
}
