internal import Crypto
internal import NetworkTypes
internal import STUN
internal import Tables

/// Nonces in requests and answers (RFC 8489 sections 9.2.4 and 9.2.5).
extension Relay {
  /// Answers missing or wrong credentials: 401 with REALM, a fresh NONCE and PASSWORD-ALGORITHMS, unsigned. It counts
  /// against the stranger's budget.
  mutating func challenge(_ code: ErrorCode, _ received: borrowing ReceivedMessage) -> Disposition {
    if let cause = limiter.takeChallenge(received.client.address, now: received.now.instant) { return .drop(cause) }
    return challenge(
      code, received.message, realm: received.client.realm, nonceFor: received.client.address,
      born: received.now.wall, now: received.now.instant)
  }

  /// Answers 438 to a user with valid integrity. It does not count against the stranger's budget: an attacker who uses
  /// up the budget with a forged source address must not cut the client off from its allocation.
  ///
  /// An allocation's client may have many pending requests, and uses the nonce of each answer for all further ones. So
  /// all answers within half a minute have the same nonce. For a ConnectionBind this is the nonce of the allocation's
  /// five-tuple, because clients use one nonce for all connections of an allocation.
  mutating func renewNonce(_ request: borrowing Request) -> Disposition {
    let now = request.now
    var address = request.client.address
    var slot = liveAllocation(on: request.client, now: now)
    if slot == nil, let named = allocation(namedBy: request.received),
      hasKey(request.principal, of: named)
    {
      slot = named
      address = allocations[named].client.address
    }
    var born = now.wall
    if let slot, isOwner(request.principal, of: slot) {
      let age = now.wall.duration(since: allocations[slot].details.nonceBirth)
      // Negative if the clock was set back.
      if age < .zero || age > min(.seconds(30), settings.policy.nonceLifetime / 2) {
        allocations[slot].details.nonceBirth = now.wall
      }
      born = allocations[slot].details.nonceBirth
    } else {
      address = request.client.address
    }
    return challenge(
      .staleNonce, request.message, realm: request.client.realm, nonceFor: address, born: born, now: now.instant)
  }

  private mutating func challenge(
    _ code: ErrorCode, _ message: borrowing MessageView, realm id: RealmID, nonceFor address: SocketAddress,
    born: UnixTime, now: Instant
  ) -> Disposition {
    counters.challenges &+= 1
    counters.answers.count(message.type.method, code)
    let realm = realms[id]
    let nonce = nonces.makeNonce(for: address, realm: realm.settings.name, offer: realm.offer, born: born)
    challengeTimes.sent(nonce.span.rawBytes, now: now)
    writer.begin(MessageType(message.type.method, .error), transactionID: message.transactionID)
    writer.append(code)
    writer.append(.realm, realm.settings.name)
    writer.append(.nonce, nonce)
    writer.append(.passwordAlgorithms, realm.offer.list)
    // The server name for which tokens are sealed (RFC 7635 section 6.1).
    if code == .unauthenticated, !settings.accessTokenKeys.isEmpty {
      writer.append(.thirdPartyAuthorization, realm.settings.name)
    }
    if message.has(.fingerprint) { writer.appendFingerprint() }
    return .reply
  }

  /// The state of a ConnectionBind's nonce for the allocation whose peer connection it names. RFC 6062 section 4.3
  /// requires the same credentials, so the nonce of the control connection is valid on data connections.
  mutating func state(
    ofNonceIn received: borrowing ReceivedMessage, for slot: Slot<Allocation>
  ) -> NonceAuthority.State {
    guard let nonce = received.message.value(of: .nonce) else { return .foreign }
    return state(of: nonce, for: allocations[slot].client.address, in: received)
  }

  /// The state of a request's nonce if it was made for `address`.
  mutating func state(
    of nonce: RawSpan, for address: SocketAddress, in received: borrowing ReceivedMessage
  ) -> NonceAuthority.State {
    let realm = realms[received.client.realm]
    return nonces.state(
      of: nonce, for: address, realm: realm.settings.name, offer: realm.offer, lifetime: settings.policy.nonceLifetime,
      now: received.now)
  }

  /// The allocation of the peer connection that a ConnectionBind names, if it waits to be bound on this shard.
  func allocation(namedBy received: borrowing ReceivedMessage) -> Slot<Allocation>? {
    guard received.message.type.method == .connectionBind, received.client.transport.isStream,
      let identifier = try? received.message.word(.connectionID),
      let connection = peerConnections.find(unbound: identifier, now: received.now.instant)
    else { return nil }
    let slot = peerConnections[connection].allocation
    return allocations[slot].expiresAt > received.now.instant ? slot : nil
  }

  /// Moves the connection of a ConnectionBind to the shard of its allocation, which checks everything again: only that
  /// shard can recognise the allocation's nonce. The move counts against the stranger's budget. Nil if this shard has
  /// the allocation, or if the message is no ConnectionBind.
  mutating func bindElsewhere(_ received: borrowing ReceivedMessage) -> Disposition? {
    guard received.message.type.method == .connectionBind, received.client.transport.isStream,
      let identifier = try? received.message.word(.connectionID), Int(identifier) % shardCount != shard, !isForwarded
    else { return nil }
    if let cause = limiter.takeChallenge(received.client.address, now: received.now.instant) { return .drop(cause) }
    return forward(
      received.message.bytes, to: Int(identifier) % shardCount, of: nil, from: received.client, now: received.now)
  }
}
