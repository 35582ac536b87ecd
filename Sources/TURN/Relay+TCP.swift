internal import NetworkTypes
internal import STUN

/// TCP relaying (RFC 6062): requests.
extension Relay {
  /// Peer connections of one allocation, whatever their state; 508 beyond it, and what comes in is closed.
  static let connectionsPerAllocation: UInt32 = 256
  /// Seconds for a connection to come about, and for a client to bind it (sections 5.2 and 5.3).
  static let connectionPatience: UInt32 = 30

  /// Whether a TCP allocation can be had with this request (section 5.1): over TCP or TLS only, and without what means
  /// something for datagrams alone.
  func allowsTCP(_ message: borrowing MessageView, from client: ClientPath) -> Bool {
    client.transport.isStream && !message.has(.dontFragment) && !message.has(.evenPort)
      && !message.has(.reservationToken)
  }

  /// Connect (section 5.2).
  mutating func connect(
    _ message: borrowing MessageView, from client: ClientPath, by principal: Principal, now: Now
  ) -> Disposition {
    guard let allocation = liveAllocation(on: client, now: now) else {
      return error(.allocationMismatch, message, by: principal)
    }
    guard isOwner(principal, of: allocation) else { return error(.wrongCredentials, message, by: principal) }
    if allocations[allocation].hasPendingMove { clientSpoke(on: allocation, from: client) }
    guard message.isWellFormed, allocations[allocation].transport == .tcp,
      let peer = try? message.xorAddress(.xorPeerAddress), peer.port != 0
    else { return error(.badRequest, message, by: principal) }
    guard connectionPeers.find(peerKey(allocation, peer)) == nil else {
      return error(.connectionAlreadyExists, message, by: principal)
    }
    let port = allocations[allocation].port(for: peer.family)
    guard port != .max else { return error(.peerAddressFamilyMismatch, message, by: principal) }
    guard gate.permits(peer, verdict: gate.verdict(peer.address), over: .tcp) else {
      return error(.forbidden, message, by: principal)
    }
    guard allocations[allocation].connectionCount < Self.connectionsPerAllocation else {
      return error(.insufficientCapacity, message, by: principal)
    }

    let index = addPeerConnection(peer, .connecting, to: allocation, now: now)
    connectRequests[index] = ConnectRequest(
      client: client, transactionID: message.transactionID, principal: principal,
      hasFingerprint: message.has(.fingerprint))
    let relay = relayPorts[Int(port)]
    let source = SocketAddress(relayed.entries[Int(relay.ordinal)].local, port: relay.port)
    let destination = SocketAddress(relayed.translated(peer.address), port: peer.port)
    commands.append(.connectPeer(peerConnections.id(of: index), from: source, to: destination))
    return .waiting
  }

  /// ConnectionBind (section 5.4).
  mutating func bindConnection(
    _ message: borrowing MessageView, from client: ClientPath, by principal: Principal, now: Now
  ) -> Disposition {
    // The control connection goes on carrying messages: it cannot be a data connection as well.
    guard client.transport.isStream, message.isWellFormed, let identifier = try? message.word(.connectionID),
      liveAllocation(on: client, now: now) == nil
    else { return error(.badRequest, message, by: principal) }
    let owner = Int(identifier) % shardCount
    if owner != shard {
      return handOver(message.bytes, to: owner, from: client, now: now)
        ?? error(.badRequest, message, by: principal)
    }
    guard let index = connectionIdentifiers.find(FlatKey(UInt64(identifier))),
      peerConnections[index].state == .unbound, peerConnections[index].expiresAt > now.instant
    else {
      // Numbers are not for guessing: wrong ones count like a stranger's questions.
      guard limiter.take(client.address.address, now: now.instant) else { return .drop(.rateLimited) }
      return error(.badRequest, message, by: principal)
    }
    guard isOwner(principal, of: Int(peerConnections[index].allocation)),
      hasKey(principal, of: Int(peerConnections[index].allocation))
    else { return error(.wrongCredentials, message, by: principal) }

    timers.cancel(peerConnections[index].timer)
    peerConnections[index].timer = .max
    peerConnections[index].state = .bound
    commands.append(.bindPipe(peerConnections.id(of: index), client))
    writer.begin(MessageType(.connectionBind, .success), transactionID: message.transactionID)
    appendSoftware()
    return finish(by: principal, fingerprint: message.has(.fingerprint))
  }
}
