internal import NetworkTypes
internal import STUN
internal import Tables

/// TCP relaying (RFC 6062): requests.
extension Relay {
  /// Limit of an allocation's peer connections in every state; beyond it Connect gives 508, and accepted connections
  /// are closed.
  static let connectionsPerAllocation: UInt32 = 256
  /// A failed Connect is answered at the earliest after this time: otherwise a client could scan thousands of ports a
  /// second.
  static let refusalDelay = Duration.milliseconds(200)
  /// The timeout of a connection attempt, and of the client's ConnectionBind (sections 5.2 and 5.3).
  static let connectionTimeout = Duration.seconds(30)

  /// Checks a request for a TCP allocation (section 5.1): over TCP or TLS only, and without attributes for datagrams.
  func checkTCP(_ request: borrowing Request) throws(Refusal) {
    guard request.client.transport.isStream else { throw .badRequest(.noStream) }
    for attribute in [AttributeType.dontFragment, .evenPort, .reservationToken] where request.message.has(attribute) {
      throw .badRequest(.datagramsOnly)
    }
  }

  /// Connect (section 5.2).
  mutating func connect(_ request: borrowing Request) throws(Refusal) -> Disposition {
    let allocation = try ownAllocation(of: request)
    guard allocations[allocation].transport == .tcp else { throw .badRequest(.datagramAllocation) }
    let peer = try request.peer()
    guard peerConnections.find(peer, of: allocation) == nil else { throw .code(.connectionAlreadyExists) }
    guard let port = allocations[allocation].port(for: peer.family).flatMap({ relayPorts.slot(of: $0) }) else {
      throw .code(.peerAddressFamilyMismatch)
    }
    guard rules.permits(peer, verdict: rules.verdict(peer.address), over: .tcp) else { throw .peer(peer) }
    guard allocations[allocation].peerConnections.count < Self.connectionsPerAllocation else {
      throw .limit(.peerConnections)
    }
    let user = RateTable.Subject(request.principal.holder(at: request.client))
    let limit = realms[request.principal.realm].settings.limits.connectsPerUser
    guard users.takeConnect(of: user, limit: limit, now: request.now.instant) else { throw .limit(.connects) }

    let slot = addPeerConnection(
      peer, .connecting, to: allocation,
      for: ConnectRequest(
        client: request.client, transactionID: request.message.transactionID, principal: request.principal,
        hasFingerprint: request.message.has(.fingerprint), arrivedAt: request.arrivedAt),
      now: request.now)
    commands.append(
      .connectPeer(
        peerConnections.handle(of: slot), from: relayed.local(relayPorts[port].address),
        to: relayed.destination(of: peer)))
    return .deferred
  }

  /// ConnectionBind (section 5.4).
  mutating func bindConnection(_ request: borrowing Request) throws(Refusal) -> Disposition {
    guard request.client.transport.isStream else { throw .badRequest(.bindOverDatagrams) }
    try request.checkForm()
    guard let identifier = try? request.message.word(.connectionID) else { throw .badRequest(.noConnectionID) }
    // The control connection continues to carry messages: it cannot be a data connection too.
    guard liveAllocation(on: request.client, now: request.now) == nil else { throw .badRequest(.bindOnControl) }
    let owner = Int(identifier) % shardCount
    if owner != shard {
      guard
        let disposition = forward(
          request.message.bytes, to: owner, of: nil, from: request.client, now: request.now)
      else { throw .badRequest(.unknownConnection) }
      return disposition
    }
    guard let slot = peerConnections.find(unbound: identifier, now: request.now.instant) else {
      // A guessed CONNECTION-ID counts against the stranger's budget.
      if let cause = limiter.takeChallenge(request.client.address, now: request.now.instant) { throw .drop(cause) }
      throw .badRequest(.unknownConnection)
    }
    guard isOwner(request.principal, of: peerConnections[slot].allocation),
      hasKey(request.principal, of: peerConnections[slot].allocation)
    else { throw .code(.wrongCredentials) }

    peerConnections.bind(slot, timers: &timers)
    commands.append(.bindPipe(peerConnections.handle(of: slot), request.client))
    return success(request)
  }
}
