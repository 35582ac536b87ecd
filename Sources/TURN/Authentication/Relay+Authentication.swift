internal import Crypto
public import NetworkTypes
internal import STUN

/// Who sent a request, once that is known.
struct Principal {
  /// The whole name: who owns an allocation (441).
  var username: [UInt8]
  /// Whom quotas count for: of a time-limited name the part after the first colon.
  var quotaName: [UInt8]
  /// What the request was checked with, and its answer is signed with; nil where no credentials are asked for.
  var key: Digest?
  var usesSHA256 = false

  static let anonymous = Principal(username: [], quotaName: [], key: nil)
}

/// The long-term credential mechanism (RFC 8489 section 9.2.4), in the order of its text.
extension Relay {
  mutating func authenticate(
    _ message: borrowing MessageView, from client: ClientPath, now: Now
  ) -> Disposition {
    if settings.isAnonymous { return perform(message, from: client, by: .anonymous, now: now) }
    guard message.has(.messageIntegrity) else { return challenge(.unauthenticated, message, from: client, now: now) }
    guard let username = message.value(of: .username), message.has(.realm), message.has(.nonce) else {
      return unauthenticatedError(.badRequest, message, from: client, now: now)
    }
    // USERNAME has at most 508 bytes (RFC 8489 section 14.3); longer ones are nobody's.
    guard (1...508).contains(username.byteCount), let realm = message.value(of: .realm), realm.isEqual(to: settings.realm)
    else { return challenge(.unauthenticated, message, from: client, now: now) }
    let name = username.copied()

    // What belongs to a live allocation goes on with the credential that made it.
    if let index = liveAllocation(on: client, now: now), let owner = details[index], owner.username == name,
      let key = owner.key
    {
      let keys = CredentialKeys(md5: [key])
      if let principal = verify(message, name: name, quotaName: owner.quotaName, keys: keys) {
        return admitFresh(message, from: client, by: principal, now: now)
      }
      return challenge(.unauthenticated, message, from: client, now: now)
    }

    if let keys = settings.users[name],
      let principal = verify(message, name: name, quotaName: name, keys: keys)
    {
      return admitFresh(message, from: client, by: principal, now: now)
    }
    if let expiry = TimeLimitedCredential.expiry(ofUsername: name), !settings.secrets.isEmpty {
      let keys = CredentialKeys(md5: timeLimitedKeys(name))
      let quotaName = TimeLimitedCredential.quotaName(ofUsername: name)
      if let principal = verify(message, name: name, quotaName: quotaName, keys: keys) {
        // Only Allocate asks whether time is up; without an allocation the other methods end in 437 anyway.
        guard message.type.method != .allocate || expiry > now.wallSeconds else {
          return challenge(.unauthenticated, message, from: client, now: now)
        }
        return admitFresh(message, from: client, by: principal, now: now)
      }
    }
    if settings.hasStore, settings.users[name] == nil {
      return lookUp(name, message, from: client, now: now)
    }
    return challenge(.unauthenticated, message, from: client, now: now)
  }

  /// The keys that a time-limited name has under each shared secret.
  private func timeLimitedKeys(_ name: [UInt8]) -> [Digest] {
    settings.secrets.map { secret in
      LongTermKey.md5(
        username: name, realm: settings.realm,
        password: TimeLimitedCredential.password(username: name, secret: secret))
    }
  }

  /// The principal whose key the message's integrity was made with, if any of these.
  private mutating func verify(
    _ message: borrowing MessageView, name: [UInt8], quotaName: [UInt8], keys: CredentialKeys
  ) -> Principal? {
    for key in keys.md5 where authenticator.verify(message, key: key) {
      return Principal(username: name, quotaName: quotaName, key: key)
    }
    return nil
  }

  /// The last check: a nonce that is ours, this client's and not too old; else 438 with a fresh one.
  private mutating func admitFresh(
    _ message: borrowing MessageView, from client: ClientPath, by principal: Principal, now: Now
  ) -> Disposition {
    guard hasValidNonce(message, from: client, now: now) else {
      return challenge(.staleNonce, message, from: client, now: now)
    }
    return perform(message, from: client, by: principal, now: now)
  }

  private mutating func hasValidNonce(
    _ message: borrowing MessageView, from client: ClientPath, now: Now
  ) -> Bool {
    guard let nonce = message.value(of: .nonce) else { return false }
    return nonces.isValid(
      nonce, for: client.address, realm: settings.realm, lifetime: settings.nonceLifetime, now: now)
  }

  /// 401 or 438: REALM and a fresh NONCE, nothing signed, within a stranger's budget.
  private mutating func challenge(
    _ code: ErrorCode, _ message: borrowing MessageView, from client: ClientPath, now: Now
  ) -> Disposition {
    guard limiter.take(client.address.address, now: now.instant) else { return .drop(.rateLimited) }
    counters.challenges &+= 1
    let nonce = nonces.makeNonce(for: client.address, realm: settings.realm, now: now)
    writer.begin(MessageType(message.type.method, .error), transactionID: message.transactionID)
    writer.append(code)
    writer.append(.realm, settings.realm)
    writer.append(.nonce, nonce)
    appendSoftware()
    if message.has(.fingerprint) { writer.appendFingerprint() }
    return .reply
  }

  // MARK: - Names that only a store knows

  private mutating func lookUp(
    _ name: [UInt8], _ message: borrowing MessageView, from client: ClientPath, now: Now
  ) -> Disposition {
    if waiting.contains(client, message.transactionID) { return .waiting }
    // Who has shown no good nonce may be anybody: such look-ups count against a stranger's budget, so that nobody
    // makes the store work without an answer being due.
    if !hasValidNonce(message, from: client, now: now),
      !limiter.hasBudget(client.address.address, now: now.instant)
    {
      return .drop(.rateLimited)
    }
    guard let ticket = wait(message.bytes, message.transactionID, from: client, now: now) else {
      return .drop(.tooManyWaiting)
    }
    commands.append(.lookUpKeys(ticket: ticket, realm: settings.realm, username: name))
    return .waiting
  }

  /// Puts a request into the waiting room; nil where that is full.
  mutating func wait(
    _ bytes: RawSpan, _ transactionID: TransactionID, from client: ClientPath, now: Now
  ) -> RecordID? {
    guard
      !waiting.isFull(
        for: client, limit: settings.waitingRequests, perSource: settings.waitingRequestsPerSource)
    else { return nil }
    let ticket = waiting.add(
      WaitingRoom.Request(
        bytes: bytes.copied(), client: client, transactionID: transactionID, allocation: nil, timer: .max))
    // A client has given up after 39.5 s (RFC 8489 section 6.2.1); so does the server.
    waiting[ticket]?.timer = timers.schedule(.pendingRequest, ticket, at: now.instant.advanced(bySeconds: 40))
    return ticket
  }

  mutating func leaveWaitingRoom(_ ticket: RecordID) -> WaitingRoom.Request? {
    guard let request = waiting.remove(ticket) else { return nil }
    timers.cancel(request.timer)
    return request
  }

  /// The store's answer: the keys that belong to the name, nil where it knows no such name. A stale ticket is
  /// ignored.
  public mutating func keysFound(_ ticket: RecordID, _ keys: CredentialKeys?, now: Now) {
    guard let request = leaveWaitingRoom(ticket) else { return }
    let disposition = resume(request, keys: keys, now: now)
    deliverLate(disposition, to: request.client)
  }

  private mutating func resume(_ request: WaitingRoom.Request, keys: CredentialKeys?, now: Now) -> Disposition {
    let bytes = request.bytes
    guard let message = try? MessageView(bytes.span.rawBytes), let username = message.value(of: .username) else {
      return .drop(.malformed)
    }
    let name = username.copied()
    guard let keys, let principal = verify(message, name: name, quotaName: name, keys: keys) else {
      return challenge(.unauthenticated, message, from: request.client, now: now)
    }
    return admitFresh(message, from: request.client, by: principal, now: now)
  }

  /// The store cannot be asked: 500, and the client may try again (RFC 8489 section 14.8).
  public mutating func keysUnavailable(_ ticket: RecordID, now: Now) {
    guard let request = leaveWaitingRoom(ticket) else { return }
    let bytes = request.bytes
    guard let message = try? MessageView(bytes.span.rawBytes) else { return }
    let disposition = unauthenticatedError(.serverError, message, from: request.client, now: now)
    deliverLate(disposition, to: request.client)
  }
}
