internal import Crypto
internal import NetworkTypes
internal import STUN
internal import Tables

/// Third-party authorization (RFC 7635): an authorization server admits users with a token that only this server can
/// open.
extension Relay {
  /// The reason why a token is refused.
  struct TokenRefusal: Error {
    var reason: AuthenticationFailure.Reason
  }

  /// Identifies the sender of a request with ACCESS-TOKEN (section 7). Throws if the token, its key, its time or the
  /// integrity is invalid.
  mutating func principal(
    ofTokenIn received: borrowing ReceivedMessage, _ user: UserReference
  ) throws(TokenRefusal) -> Principal {
    let now = received.now.wall
    let realm = received.client.realm
    guard case .name(let id) = user, let value = received.message.value(of: .accessToken),
      let key = settings.accessTokenKeys.first(where: { $0.id == id })
    else { throw TokenRefusal(reason: .unknownUser) }
    guard key.notAfter.map({ $0 > now }) ?? true else { throw TokenRefusal(reason: .expired) }
    guard let token = AccessToken(value, key: key, serverName: realms[realm].settings.name) else {
      throw TokenRefusal(reason: .wrongPassword)
    }
    guard let timeLeft = token.timeLeft(now: now) else { throw TokenRefusal(reason: .expired) }
    // The key is used directly, with every password algorithm (section 5). Clients written for coturn use only its
    // first 16 bytes.
    var macKey = token.macKey
    if !isSigned(received.message, with: macKey) {
      macKey = token.macKey.truncated(to: 16)
      guard isSigned(received.message, with: macKey) else { throw TokenRefusal(reason: .wrongPassword) }
    }
    // Quotas count by token: all clients of an authorization server share the key's name.
    let holder = id + [0] + token.macKey.digestForQuotas
    return Principal(
      realm: realm, username: id, quotaName: holder, keys: CredentialKeys(md5: [macKey], sha256: macKey), key: macKey,
      usesSHA256: received.message.has(.messageIntegritySHA256), credentialTimeLeft: timeLeft)
  }

  /// Identifies the sender of a request without ACCESS-TOKEN on an allocation that was made with one (section 9). Nil
  /// if its key does not verify the integrity, or if the token has expired.
  mutating func holder(
    ofTokenBehind owner: AllocationDetails, _ received: borrowing ReceivedMessage
  ) -> Principal? {
    let now = received.now.wall
    guard let end = owner.credentialEnd, end > now, let key = owner.keys?.md5.first,
      isSigned(received.message, with: key)
    else { return nil }
    return Principal(
      realm: received.client.realm, username: owner.username, quotaName: owner.quotaName, keys: owner.keys, key: key,
      usesSHA256: received.message.has(.messageIntegritySHA256),
      credentialTimeLeft: end.duration(since: now))
  }

  /// After a Refresh with another token, the allocation continues with its name and key (section 9).
  mutating func renewCredential(of slot: Slot<Allocation>, _ principal: Principal, now: Now) {
    guard let left = principal.credentialTimeLeft, let keys = principal.keys else { return }
    allocations[slot].details.username = principal.username
    allocations[slot].details.keys = keys
    allocations[slot].details.credentialEnd = now.wall.advanced(by: left)
  }
}

extension Digest {
  /// Eight bytes of a hash, which identify a key without revealing it.
  fileprivate var digestForQuotas: [UInt8] {
    var context = HashContext(.sha256)
    return context.hash(bytes).truncated(to: 8).array
  }
}
