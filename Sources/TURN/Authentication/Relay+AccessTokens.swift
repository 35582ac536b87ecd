internal import Crypto
internal import NetworkTypes
internal import STUN

/// Third-party authorization (RFC 7635): an authorization server says who may, in a token that only this server opens.
extension Relay {
  /// Who signed a request with ACCESS-TOKEN (section 7); nil where the token, its key, its time or the signature is
  /// not good.
  mutating func principal(
    ofTokenIn message: borrowing MessageView, _ user: UserReference, from client: ClientPath, now: Now
  ) -> Principal? {
    let realm = settings.realm(of: client)
    guard case .name(let id) = user, let value = message.value(of: .accessToken),
      let key = settings.accessTokenKeys.first(where: { $0.id == id }), key.notAfter.map({ $0 > now.wallSeconds }) ?? true,
      let token = AccessToken(value, key: key, serverName: realm.name), let remaining = token.remaining(now: now.wallSeconds)
    else { return nil }
    // The key is used as it is, whatever password algorithm was chosen (section 5). Clients written for coturn take
    // its first 16 bytes for all of it.
    guard
      let macKey = [token.macKey, token.macKey.truncated(to: 16)].first(where: { isSigned(message, with: $0) })
    else { return nil }
    let keys = CredentialKeys(md5: [macKey], sha256: macKey)
    // Quotas count by token: all clients of an authorization server share the key's name.
    let holder = id + [0] + token.macKey.digestForQuotas
    return Principal(
      realm: client.realm, username: id, quotaName: holder, keys: keys, key: macKey,
      usesSHA256: message.has(.messageIntegritySHA256), remaining: remaining)
  }

  /// Who signed a request without ACCESS-TOKEN on an allocation that was made with one (section 9); nil where the
  /// signature is not of its key, or the token has ended.
  mutating func holder(
    ofTokenBehind owner: AllocationDetails, _ message: borrowing MessageView, from client: ClientPath, now: Now
  ) -> Principal? {
    guard let end = owner.credentialEnd, end > now.wallSeconds, let key = owner.keys?.md5.first,
      isSigned(message, with: key)
    else { return nil }
    return Principal(
      realm: client.realm, username: owner.username, quotaName: owner.quotaName, keys: owner.keys, key: key,
      usesSHA256: message.has(.messageIntegritySHA256), remaining: UInt32(clamping: end - now.wallSeconds))
  }

  /// After a Refresh with another token: its name and key are what the allocation goes on with (section 9).
  mutating func renewCredential(of index: Int, _ principal: Principal, now: Now) {
    guard let remaining = principal.remaining, let keys = principal.keys else { return }
    details[index]?.username = principal.username
    details[index]?.keys = keys
    details[index]?.credentialEnd = now.wallSeconds + UInt64(remaining)
  }
}

extension Digest {
  /// Eight bytes that stand for a key where it must not be seen.
  fileprivate var digestForQuotas: [UInt8] {
    var context = HashContext(.sha256)
    return context.hash(bytes).truncated(to: 8).array
  }
}

extension Principal {
  /// Who may use what an EVEN-PORT has reserved: the user, whatever the time in the name; everybody with a token,
  /// since no two tokens say that they are of one client.
  var reservationHolder: [UInt8] { remaining == nil ? quotaName : [] }

  /// Whom an allocation counts for.
  func holder(at client: ClientPath) -> QuotaHolder {
    QuotaHolder(realm: realm, user: quotaName, address: client.address.address)
  }
}
