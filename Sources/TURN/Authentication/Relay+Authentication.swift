internal import Crypto
public import NetworkTypes
internal import STUN

/// Who sent a request, once that is known.
struct Principal {
  /// The number of the realm that the name is of.
  var realm: UInt8 = 0
  /// The whole name: who owns an allocation (441).
  var username: [UInt8]
  /// Whom quotas count for: of a time-limited name the part after the first colon.
  var quotaName: [UInt8]
  /// All keys of the credential; nil where no credentials are asked for.
  var keys: CredentialKeys?
  /// The one that the request was checked with, and its answer is signed with.
  var key: Digest?
  /// Whether the answer carries MESSAGE-INTEGRITY-SHA256, MESSAGE-INTEGRITY otherwise.
  var usesSHA256 = false
  /// Seconds that the credential itself is good for still: no lifetime outlasts an access token (RFC 7635 section 9).
  var remaining: UInt32?

  static let anonymous = Principal(username: [], quotaName: [], keys: nil, key: nil)
}

/// The long-term credential mechanism (RFC 8489 section 9.2.4), in the order of its text.
extension Relay {
  /// What was found out about a request's credentials before anybody looked for the user.
  private struct Claim {
    var nonce: NonceAuthority.State
    var choice: KeyChoice

    var isFresh: Bool { if case .fresh = nonce { true } else { false } }
  }

  mutating func authenticate(
    _ message: borrowing MessageView, from client: ClientPath, now: Now
  ) -> Disposition {
    // Nobody was told that tokens are taken (RFC 7635 section 7).
    if settings.accessTokenKeys.isEmpty, message.has(.accessToken) {
      return unauthenticatedError(.unknownAttribute, message, from: client, now: now)
    }
    if settings.isAnonymous { return perform(message, from: client, by: .anonymous, now: now) }
    guard message.has(.messageIntegrity) || message.has(.messageIntegritySHA256) else {
      return challenge(.unauthenticated, message, from: client, now: now)
    }
    guard let user = user(of: message), let realmName = message.value(of: .realm),
      let claim = claim(of: message, from: client, now: now)
    else { return unauthenticatedError(.badRequest, message, from: client, now: now) }
    let realm = settings.realm(of: client)
    // Names that are too long are nobody's, and so is every name in a realm that is not this client's.
    guard isPlausible(user), realmName.isEqual(to: realm.name) else {
      return challenge(.unauthenticated, message, from: client, now: now)
    }
    if message.has(.accessToken) {
      // Opening one is dear: not for who has no budget left, unless something of his is at stake.
      if !claim.isFresh, !limiter.hasBudget(client.address.address, now: now.instant),
        liveAllocation(on: client, now: now) == nil
      {
        return .drop(.rateLimited)
      }
      guard let principal = principal(ofTokenIn: message, user, from: client, now: now) else {
        return challenge(.unauthenticated, message, from: client, now: now)
      }
      return admitFresh(message, from: client, by: principal, claim, now: now)
    }

    // What belongs to a live allocation goes on with the credential that made it.
    if let index = liveAllocation(on: client, now: now), let owner = details[index], let keys = owner.keys,
      owner.realm == client.realm, isName(owner.username, of: user, in: realm)
    {
      let principal =
        owner.credentialEnd == nil
        ? verify(message, claim, from: client, name: owner.username, quotaName: owner.quotaName, keys: keys)
        : holder(ofTokenBehind: owner, message, from: client, now: now)
      if let principal { return admitFresh(message, from: client, by: principal, claim, now: now) }
      // Its password may have been changed since: the same name goes the usual way.
    }
    // What follows costs more than an answer, which would not be given: who has no budget left is not looked up.
    if !claim.isFresh, !limiter.hasBudget(client.address.address, now: now.instant) { return .drop(.rateLimited) }

    let name: [UInt8]? =
      switch user {
      case .name(let name): name
      case .hash(let hash): realm.userNames[hash]
      }
    if let name, let keys = realm.users[name],
      let principal = verify(message, claim, from: client, name: name, quotaName: name, keys: keys)
    {
      return admitFresh(message, from: client, by: principal, claim, now: now)
    }
    if let name, !realm.secrets.isEmpty, let expiry = TimeLimitedCredential.expiry(ofUsername: name) {
      let quotaName = TimeLimitedCredential.quotaName(ofUsername: name)
      for secret in realm.secrets {
        let keys = timeLimitedKeys(name, secret: secret, in: realm)
        guard let principal = verify(message, claim, from: client, name: name, quotaName: quotaName, keys: keys) else {
          continue
        }
        // Only Allocate asks whether time is up; without an allocation the other methods end in 437 anyway.
        guard message.type.method != .allocate || expiry > now.wallSeconds else {
          return challenge(.unauthenticated, message, from: client, now: now)
        }
        return admitFresh(message, from: client, by: principal, claim, now: now)
      }
    }
    if realm.hasStore, name.map({ realm.users[$0] == nil }) ?? true {
      return lookUp(user, message, from: client, claim, now: now)
    }
    return challenge(.unauthenticated, message, from: client, now: now)
  }

  func offer(to client: ClientPath) -> PasswordOffer {
    let index = Int(client.realm)
    return index < offers.count ? offers[index] : offers[0]
  }

  /// USERNAME or USERHASH, the name where somebody sends both; nil without either, or where the hash has not its 32
  /// bytes.
  private func user(of message: borrowing MessageView) -> UserReference? {
    if let name = message.value(of: .username) { return .name(name.copied()) }
    guard let hash = message.value(of: .userHash), hash.byteCount == 32 else { return nil }
    return .hash(hash.copied())
  }

  /// USERNAME of up to 763 bytes must be understood, however short it should be (RFC 8489 section 14.3).
  private func isPlausible(_ user: UserReference) -> Bool {
    if case .name(let name) = user { (1...763).contains(name.count) } else { true }
  }

  private func isName(_ name: [UInt8], of user: UserReference, in realm: RealmSettings) -> Bool {
    switch user {
    case .name(let claimed): claimed == name
    case .hash(let hash): LongTermKey.userHash(username: name, realm: realm.name).bytes.isEqual(to: hash)
    }
  }

  /// The nonce, and the checks of the password algorithms against bid-down (RFC 8489 section 9.2.4, third point); nil
  /// where 400 is due: NONCE is missing, or the algorithms are not the ones that came with it.
  private mutating func claim(of message: borrowing MessageView, from client: ClientPath, now: Now) -> Claim? {
    // NONCE has at most 763 bytes (RFC 8489 section 14.10).
    guard let nonce = message.value(of: .nonce), nonce.byteCount <= 763 else { return nil }
    let offer = offer(to: client)
    let state = nonces.state(
      of: nonce, for: client.address, realm: settings.realm(of: client).name, offer: offer,
      lifetime: settings.nonceLifetime, now: now)
    guard message.has(.passwordAlgorithm) || message.has(.passwordAlgorithms) else {
      return Claim(nonce: state, choice: .implicitMD5)
    }
    guard let number = try? message.passwordAlgorithm(), let list = message.value(of: .passwordAlgorithms) else {
      // Without the feature bit the RFC asks for nothing; but only a nonce of ours can be good, and it has the bit.
      return PasswordOffer.promisesAlgorithms(nonce) || message.has(.passwordAlgorithm)
        ? nil : Claim(nonce: state, choice: .implicitMD5)
    }
    // What came with a nonce that is not ours (any more) cannot be known: such a request ends in 401 or 438.
    if case .foreign = state {
      return Claim(nonce: state, choice: .chosen(PasswordAlgorithm(rawValue: number) ?? .md5))
    }
    guard list.isEqual(to: offer.list), let algorithm = PasswordAlgorithm(rawValue: number),
      offer.algorithms.contains(algorithm)
    else { return nil }
    return Claim(nonce: state, choice: .chosen(algorithm))
  }

  /// The keys that a time-limited name has under a shared secret. The password is Base64, and needs no preparation.
  private func timeLimitedKeys(_ name: [UInt8], secret: [UInt8], in realm: RealmSettings) -> CredentialKeys {
    let password = TimeLimitedCredential.password(username: name, secret: secret)
    return CredentialKeys(
      md5: [LongTermKey.md5(username: name, realm: realm.name, password: password)],
      sha256: LongTermKey.sha256(username: name, realm: realm.name, password: password))
  }

  /// The principal whose key the message's integrity was made with, if any of these. MESSAGE-INTEGRITY-SHA256 is
  /// the one that counts where both are there (RFC 8489 section 9.2.4, fifth point).
  private mutating func verify(
    _ message: borrowing MessageView, _ claim: Claim, from client: ClientPath, name: [UInt8], quotaName: [UInt8],
    keys: CredentialKeys
  ) -> Principal? {
    guard offer(to: client).algorithms.contains(claim.choice.algorithm) else { return nil }
    let candidates = claim.choice.algorithm == .md5 ? keys.md5 : keys.sha256.map { [$0] } ?? []
    for key in candidates {
      guard isSigned(message, with: key) else { continue }
      return Principal(
        realm: client.realm, username: name, quotaName: quotaName, keys: keys, key: key,
        usesSHA256: !claim.choice.isImplicit)
    }
    return nil
  }

  /// MESSAGE-INTEGRITY-SHA256 counts where both are there.
  mutating func isSigned(_ message: borrowing MessageView, with key: Digest) -> Bool {
    message.has(.messageIntegritySHA256)
      ? authenticator.verifySHA256(message, key: key) : authenticator.verify(message, key: key)
  }

  /// The last check: a nonce that is ours, this client's and not too old; else 438 with a fresh one.
  private mutating func admitFresh(
    _ message: borrowing MessageView, from client: ClientPath, by principal: Principal, _ claim: Claim, now: Now
  ) -> Disposition {
    guard case .fresh = claim.nonce else {
      // Not from a stranger's budget, or who uses that up in a client's name would keep it from its allocation.
      return challenge(.staleNonce, message, from: client, counts: false, now: now)
    }
    return perform(message, from: client, by: principal, now: now)
  }

  /// 401 or 438: REALM, a fresh NONCE and PASSWORD-ALGORITHMS, nothing signed, within a stranger's budget unless the
  /// sender is known.
  private mutating func challenge(
    _ code: ErrorCode, _ message: borrowing MessageView, from client: ClientPath, counts: Bool = true, now: Now
  ) -> Disposition {
    guard !counts || limiter.take(client.address.address, now: now.instant) else { return .drop(.rateLimited) }
    counters.challenges &+= 1
    let realm = settings.realm(of: client).name
    let offer = offer(to: client)
    let nonce = nonces.makeNonce(for: client.address, realm: realm, offer: offer, now: now)
    writer.begin(MessageType(message.type.method, .error), transactionID: message.transactionID)
    writer.append(code)
    writer.append(.realm, realm)
    writer.append(.nonce, nonce)
    writer.append(.passwordAlgorithms, offer.list)
    // The server name that tokens are sealed for (RFC 7635 section 6.1).
    if code == .unauthenticated, !settings.accessTokenKeys.isEmpty { writer.append(.thirdPartyAuthorization, realm) }
    appendSoftware()
    if message.has(.fingerprint) { writer.appendFingerprint() }
    return .reply
  }

  // MARK: - Names that only a store knows

  private mutating func lookUp(
    _ user: UserReference, _ message: borrowing MessageView, from client: ClientPath, _ claim: Claim, now: Now
  ) -> Disposition {
    if waiting.contains(client, message.transactionID) { return .waiting }
    // Who was refused as often as the budget allows makes the store work no more: a good nonce proves an address, and
    // no credential.
    guard limiter.hasBudget(client.address.address, now: now.instant) else { return .drop(.rateLimited) }
    guard let ticket = wait(message.bytes, message.transactionID, from: client, now: now) else {
      return .drop(.tooManyWaiting)
    }
    commands.append(.lookUpKeys(ticket: ticket, realm: client.realm, user: user))
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

  /// The store's answer: the keys that belong to the user, nil where it knows no such user. A stale ticket is
  /// ignored.
  public mutating func keysFound(_ ticket: RecordID, _ keys: CredentialKeys?, now: Now) {
    guard let request = leaveWaitingRoom(ticket) else { return }
    let disposition = resume(request, keys: keys, now: now)
    deliverLate(disposition, to: request.client)
  }

  private mutating func resume(_ request: WaitingRoom.Request, keys: CredentialKeys?, now: Now) -> Disposition {
    let bytes = request.bytes
    guard let message = try? MessageView(bytes.span.rawBytes), let user = user(of: message),
      let claim = claim(of: message, from: request.client, now: now)
    else { return .drop(.malformed) }
    var name = keys?.name
    if case .name(let claimed) = user { name = claimed }
    guard let keys, let name,
      let principal = verify(message, claim, from: request.client, name: name, quotaName: name, keys: keys)
    else {
      return challenge(.unauthenticated, message, from: request.client, now: now)
    }
    return admitFresh(message, from: request.client, by: principal, claim, now: now)
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
