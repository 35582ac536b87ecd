internal import Crypto
internal import NetworkTypes
internal import STUN
internal import Tables

/// The long-term credential mechanism (RFC 8489 section 9.2.4), in the order of its text.
extension Relay {
  mutating func authenticate(_ received: borrowing ReceivedMessage) -> Disposition {
    // We never sent THIRD-PARTY-AUTHORIZATION, so ACCESS-TOKEN is unknown to us: 420 (RFC 7635 section 7).
    if settings.accessTokenKeys.isEmpty, received.message.has(.accessToken) {
      return unauthenticatedError(.unknownAttribute, received)
    }
    if settings.policy.isAnonymous { return perform(Request(received, by: .anonymous)) }
    guard received.message.has(.messageIntegrity) || received.message.has(.messageIntegritySHA256) else {
      return challenge(.unauthenticated, received)
    }
    guard let realm = received.message.value(of: .realm), let claim = claim(of: received) else {
      return unauthenticatedError(.badRequest, received)
    }
    // No user has a longer name, and REALM must be the one that we offered: 401 without a look-up.
    guard Self.isPlausible(claim.user), realm.isEqual(to: realms[received.client.realm].settings.name) else {
      return refuseLogin(.unknownUser, claim.user, received, claim.nonce)
    }
    if case .foreign = claim.nonce { return answerForeignNonce(received, claim) }
    // After too many failures from a proven address or its network no key is tried, except for a live allocation.
    if let cause = limiter.failureLimit(of: received.client.address, now: received.now.instant),
      liveAllocation(on: received.client, now: received.now) == nil
    {
      return .drop(cause)
    }
    switch identify(received, claim) {
    case .known(let principal): return performIfFresh(Request(received, by: principal), claim.nonce)
    case .refused(let reason, let user): return refuseLogin(reason, user, received, claim.nonce)
    case .inStore: return lookUp(received, claim)
    }
  }

  /// Identifies the sender of a request by each kind of credential in turn.
  private mutating func identify(_ received: borrowing ReceivedMessage, _ claim: Claim) -> Identification {
    if received.message.has(.accessToken) { return identifyByToken(received, claim) }
    if let principal = identifyByAllocation(received, claim) { return .known(principal) }
    let realm = realms[received.client.realm].settings
    let name = claim.name ?? hashedName(claim.user, in: realm)
    let configured = name.flatMap { realm.users[$0] }
    if let name, let keys = configured, let principal = identifyByConfiguration(name, keys, received, claim) {
      return .known(principal)
    }
    if let name, let identification = identifyByTime(name, received, claim, in: realm) { return identification }
    // The store is asked also for a configured user with a wrong password, so that the answer takes as long for every
    // name.
    if realm.hasStore { return .inStore }
    if configured == nil { tryNoKey(received, claim) }
    let isKnown = configured != nil || name.map { mayBeTimeLimited($0, in: realm) } ?? false
    return .refused(isKnown ? .wrongPassword : .unknownUser, name.map { .name($0) } ?? claim.user)
  }

  /// Identifies the sender as a user of the configuration; nil if its keys do not verify the integrity.
  private mutating func identifyByConfiguration(
    _ name: [UInt8], _ keys: CredentialKeys, _ received: borrowing ReceivedMessage, _ claim: Claim
  ) -> Principal? {
    verify(received, claim, name: name, quotaName: name, keys: keys)
  }

  /// Identifies the sender by an access token (RFC 7635).
  private mutating func identifyByToken(_ received: borrowing ReceivedMessage, _ claim: Claim) -> Identification {
    do throws(TokenRefusal) {
      return .known(try principal(ofTokenIn: received, claim.user))
    } catch {
      return .refused(error.reason, claim.user)
    }
  }

  /// Identifies the sender by the credential of the live allocation on the five-tuple; nil if its key does not verify
  /// the integrity. If the password has changed since, the name is checked as without an allocation.
  private mutating func identifyByAllocation(
    _ received: borrowing ReceivedMessage, _ claim: Claim
  ) -> Principal? {
    guard let slot = liveAllocation(on: received.client, now: received.now) else { return nil }
    return identify(byOwnerOf: slot, received, claim)
  }

  /// Identifies the sender by the credential of an allocation; nil if its key does not verify the integrity.
  private mutating func identify(
    byOwnerOf slot: Slot<Allocation>, _ received: borrowing ReceivedMessage, _ claim: Claim
  ) -> Principal? {
    let owner = allocations[slot].details
    guard let keys = owner.keys, owner.realm == received.client.realm,
      isName(owner.username, of: claim.user, in: realms[owner.realm].settings)
    else { return nil }
    guard owner.credentialEnd == nil else { return holder(ofTokenBehind: owner, received) }
    var principal = verify(received, claim, name: owner.username, quotaName: owner.quotaName, keys: keys)
    principal?.nameExpiry = owner.nameExpiry
    return principal
  }

  /// Identifies the sender by a time-limited name, whose password a shared secret derives; nil if no secret gives this
  /// password.
  private mutating func identifyByTime(
    _ name: [UInt8], _ received: borrowing ReceivedMessage, _ claim: Claim, in realm: RealmSettings
  ) -> Identification? {
    guard !realm.secrets.isEmpty, let expiry = TimeLimitedCredential.expiry(ofUsername: name) else { return nil }
    guard var principal = timeLimitedPrincipal(name, received, claim, in: realm) else { return nil }
    principal.nameExpiry = expiry
    // Only Allocate checks the expiry; without an allocation the other methods get 437 anyway.
    let isGood = received.message.type.method != .allocate || expiry > received.now.wall
    return isGood ? .known(principal) : .refused(.expired, claim.user)
  }

  /// Tries the shared secrets, first the one that last verified this name.
  private mutating func timeLimitedPrincipal(
    _ name: [UInt8], _ received: borrowing ReceivedMessage, _ claim: Claim, in realm: RealmSettings
  ) -> Principal? {
    let quotaName = TimeLimitedCredential.quotaName(ofUsername: name)
    if let keys = timeLimitedKeys.find(name, realm: received.client.realm),
      let principal = verify(received, claim, name: name, quotaName: quotaName, keys: keys)
    {
      return principal
    }
    for secret in realm.secrets {
      let keys = timeLimitedKeys(name, secret: secret, in: realm)
      guard let principal = verify(received, claim, name: name, quotaName: quotaName, keys: keys) else { continue }
      timeLimitedKeys.remember(name, realm: received.client.realm, keys)
      return principal
    }
    return nil
  }

  // MARK: - The parts of a claim

  /// Reads the user and the nonce, and checks the password algorithms against bid-down attacks (RFC 8489 section 9.2.4,
  /// third point). Nil if the answer is 400: USERNAME or NONCE is missing, or the algorithms differ from those offered
  /// with the nonce.
  mutating func claim(of received: borrowing ReceivedMessage) -> Claim? {
    // NONCE has at most 763 bytes (RFC 8489 section 14.10).
    guard let user = Self.user(of: received.message), let nonce = received.message.value(of: .nonce),
      nonce.byteCount <= 763
    else { return nil }
    let state = state(of: nonce, for: received.client.address, in: received)
    if case .fresh = state { challengeTimes.answered(nonce, now: received.now.instant) }
    guard let choice = keyChoice(of: received, nonce, state) else { return nil }
    return Claim(user: user, nonce: state, choice: choice)
  }

  private func keyChoice(
    of received: borrowing ReceivedMessage, _ nonce: RawSpan, _ state: NonceAuthority.State
  ) -> KeyChoice? {
    let message = received.message
    guard message.has(.passwordAlgorithm) || message.has(.passwordAlgorithms) else { return .implicitMD5 }
    guard let number = try? message.passwordAlgorithm(), let list = message.value(of: .passwordAlgorithms) else {
      // Without the feature bit the RFC requires nothing. But only our own nonces are valid, and they have the bit.
      return PasswordOffer.promisesAlgorithms(nonce) || message.has(.passwordAlgorithm) ? nil : .implicitMD5
    }
    // The offer of a foreign nonce is unknown: such a request gets 401 or 438.
    if case .foreign = state { return .chosen(PasswordAlgorithm(rawValue: number) ?? .md5) }
    let offer = realms[received.client.realm].offer
    guard list.isEqual(to: offer.list), let algorithm = PasswordAlgorithm(rawValue: number),
      offer.algorithms.contains(algorithm)
    else { return nil }
    return .chosen(algorithm)
  }

  /// USERNAME or USERHASH; the name if a client sends both. Nil without either, or if the hash does not have 32 bytes.
  private static func user(of message: borrowing MessageView) -> UserReference? {
    if let name = message.value(of: .username) { return .name(name.copied()) }
    guard let hash = message.value(of: .userHash), hash.byteCount == 32 else { return nil }
    return .hash(hash.copied())
  }

  /// USERNAME must be accepted up to 763 bytes, although clients must send less than 509 (RFC 8489 section 14.3).
  private static func isPlausible(_ user: UserReference) -> Bool {
    if case .name(let name) = user { (1...763).contains(name.count) } else { true }
  }

  private func isName(_ name: [UInt8], of user: UserReference, in realm: RealmSettings) -> Bool {
    switch user {
    case .name(let claimed): claimed == name
    case .hash(let hash): LongTermKey.userHash(username: name, realm: realm.name).bytes.isEqual(to: hash)
    }
  }

  func hashedName(_ user: UserReference, in realm: RealmSettings) -> [UInt8]? {
    if case .hash(let hash) = user { realm.userNames[hash] } else { nil }
  }

  /// Whether the name may be time-limited: then a wrong password means a wrong secret.
  func mayBeTimeLimited(_ name: [UInt8], in realm: RealmSettings) -> Bool {
    !realm.secrets.isEmpty && TimeLimitedCredential.expiry(ofUsername: name) != nil
  }

  // MARK: - Checking

  /// The keys of a time-limited name with a shared secret. The password is Base64 and needs no preparation.
  func timeLimitedKeys(_ name: [UInt8], secret: [UInt8], in realm: RealmSettings) -> CredentialKeys {
    let password = TimeLimitedCredential.password(username: name, secret: secret)
    return CredentialKeys(
      md5: [LongTermKey.md5(username: name, realm: realm.name, password: password)],
      sha256: LongTermKey.sha256(username: name, realm: realm.name, password: password))
  }

  /// The principal if one of these keys verifies the message's integrity.
  mutating func verify(
    _ received: borrowing ReceivedMessage, _ claim: Claim, name: [UInt8], quotaName: [UInt8], keys: CredentialKeys
  ) -> Principal? {
    let realm = received.client.realm
    guard realms[realm].offer.algorithms.contains(claim.choice.algorithm) else { return nil }
    let candidates = claim.choice.algorithm == .md5 ? keys.md5 : keys.sha256.map { [$0] } ?? []
    // The check of a user without a key of this kind takes as long as that of a wrong password.
    if candidates.isEmpty, let key = CredentialKeys.ofNoUser.sha256 { _ = isSigned(received.message, with: key) }
    for key in candidates {
      guard isSigned(received.message, with: key) else { continue }
      return Principal(
        realm: realm, username: name, quotaName: quotaName, keys: keys, key: key,
        usesSHA256: !claim.choice.isImplicit)
    }
    return nil
  }

  /// Checks a request against a key that no user has, so that an unknown name takes as long as a wrong password.
  mutating func tryNoKey(_ received: borrowing ReceivedMessage, _ claim: Claim) {
    _ = verify(received, claim, name: [], quotaName: [], keys: .ofNoUser)
  }

  /// MESSAGE-INTEGRITY-SHA256 counts if the message has both (RFC 8489 section 9.2.4, fifth point).
  mutating func isSigned(_ message: borrowing MessageView, with key: Digest) -> Bool {
    message.has(.messageIntegritySHA256)
      ? authenticator.verifySHA256(message, key: key) : authenticator.verify(message, key: key)
  }

  /// Answers a nonce that we did not make for this address, which may be forged: 438 within the stranger's budget. No
  /// user is looked up. Only the keys of the allocation on the five-tuple are tried, or of the allocation whose peer
  /// connection a ConnectionBind names, because it may have that allocation's nonce (RFC 6062 section 4.3). If that
  /// allocation is on another shard, the connection moves there.
  private mutating func answerForeignNonce(_ received: borrowing ReceivedMessage, _ claim: Claim) -> Disposition {
    if let slot = liveAllocation(on: received.client, now: received.now),
      let principal = identify(byHolderOf: slot, received, claim)
    {
      return renewNonce(Request(received, by: principal))
    }
    if let slot = allocation(namedBy: received),
      let principal = identify(byHolderOf: slot, received, claim)
    {
      let nonce = state(ofNonceIn: received, for: slot)
      guard case .fresh = nonce else { return renewNonce(Request(received, by: principal)) }
      return perform(Request(received, by: principal))
    }
    if let disposition = bindElsewhere(received) { return disposition }
    return challenge(.staleNonce, received)
  }

  /// Identifies the sender by the credential of an allocation. If the allocation was made with an access token, the
  /// sender may also present another token (RFC 7635 section 9).
  private mutating func identify(
    byHolderOf slot: Slot<Allocation>, _ received: borrowing ReceivedMessage, _ claim: Claim
  ) -> Principal? {
    guard received.message.has(.accessToken) else { return identify(byOwnerOf: slot, received, claim) }
    guard allocations[slot].details.credentialEnd != nil else { return nil }
    return try? principal(ofTokenIn: received, claim.user)
  }

  /// The last check: the nonce has not expired; else 438 with a fresh nonce.
  mutating func performIfFresh(_ request: borrowing Request, _ nonce: NonceAuthority.State) -> Disposition {
    guard case .fresh = nonce else { return renewNonce(request) }
    keepRoundTrip(of: request)
    return perform(request)
  }
}
