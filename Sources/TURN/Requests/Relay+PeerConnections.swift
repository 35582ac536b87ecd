public import NetworkTypes
internal import STUN
public import Tables

/// TCP relaying (RFC 6062): peer connections.
extension Relay {
  // MARK: - Inputs

  /// The connection of `connectPeer` is open: answers with its CONNECTION-ID; the client has 30 s to bind it.
  public mutating func peerConnected(_ handle: Handle<PeerConnection>, now: Now) {
    guard let slot = peerConnections.slot(of: handle) else {
      commands.append(.closePipe(handle))
      return
    }
    guard peerConnections[slot].state == .connecting, let request = peerConnections.takeRequest(of: slot) else {
      return
    }
    awaitBind(slot, now: now)
    beginSuccess(.connect, request.transactionID)
    writer.append(.connectionID, peerConnections[slot].identifier)
    let disposition = finish(by: request.principal, fingerprint: request.hasFingerprint)
    deliverLate(disposition, to: request.client, since: request.arrivedAt)
  }

  /// The reason why a connection failed.
  public enum ConnectFailure: Sendable {
    /// The peer refused, or did not answer: 447.
    case refused
    /// The server has no free socket: 508.
    case noCapacity
  }

  /// The connection of `connectPeer` has failed.
  public mutating func peerConnectionFailed(_ handle: Handle<PeerConnection>, _ failure: ConnectFailure, now: Now) {
    guard let slot = peerConnections.slot(of: handle), peerConnections[slot].state != .failed else { return }
    guard failure == .refused else { return remove(slot, refusing: .insufficientCapacity) }
    guard peerConnections[slot].state == .connecting else { return remove(slot) }
    let requestedAt = peerConnections[slot].expiresAt.nanoseconds &- Self.connectionTimeout.wholeNanoseconds
    let earliest = Instant(nanoseconds: requestedAt).advanced(by: Self.refusalDelay)
    if now.instant >= earliest { return remove(slot, refusing: .connectionTimeoutOrFailure) }
    peerConnections.fail(slot, tellAt: earliest, timers: &timers)
  }

  /// A peer's connection was accepted on a TCP relayed address.
  ///
  /// - Returns: the connection's handle; nil if the engine must close it at once (section 5.3).
  public mutating func peerAccepted(
    _ source: SocketAddress, on handle: Handle<RelayPort>, now: Now
  ) -> Handle<PeerConnection>? {
    guard let port = relayPorts.slot(of: handle), let allocation = relayPorts[port].allocation,
      allocations[allocation].expiresAt > now.instant, let peer = permittedPeer(source, on: allocation, now: now),
      peerConnections.find(peer, of: allocation) == nil
    else { return nil }
    guard allocations[allocation].peerConnections.count < Self.connectionsPerAllocation else {
      recordLimit(.peerConnections, allocations[allocation].client, now: now)
      return nil
    }
    let slot = addPeerConnection(peer, .unbound, to: allocation, for: nil, now: now)
    awaitBind(slot, now: now)
    writer.begin(MessageType(.connectionAttempt, .indication), transactionID: nextTransactionID())
    writer.append(.xorPeerAddress, xor: peer.transportAddress)
    writer.append(.connectionID, peerConnections[slot].identifier)
    sendWritten(to: allocations[allocation].client)
    return peerConnections.handle(of: slot)
  }

  /// The peer's address as the client knows it; nil without a permission, or if the rules deny it. A relay of ours
  /// behind a 1:1 NAT connects from its local address, but clients know an advertised address.
  private mutating func permittedPeer(
    _ source: SocketAddress, on allocation: Slot<Allocation>, now: Now
  ) -> PeerAddress? {
    for address in relayed.forms(of: source.address) {
      let peer = PeerAddress(address, port: source.port)
      guard let verdict = permission(for: peer.address, on: allocation, now: now)?.verdict else { continue }
      return rules.permits(peer, verdict: verdict, over: .tcp) ? peer : nil
    }
    return nil
  }

  /// A pipe or an unbound peer connection has ended.
  public mutating func pipeEnded(_ handle: Handle<PeerConnection>) {
    if let slot = peerConnections.slot(of: handle) { remove(slot) }
  }

  /// Counts bytes of a pipe and charges the bandwidth limits.
  ///
  /// - Returns: the time for which reading in that direction must pause; zero: no pause.
  public mutating func pipeCarried(_ count: Int, _ handle: Handle<PeerConnection>, toPeer: Bool, now: Now) -> Duration {
    guard let slot = peerConnections.slot(of: handle) else { return .zero }
    let allocation = peerConnections[slot].allocation
    let direction: MediaDirection = toPeer ? .toPeers : .toClients
    if toPeer {
      allocations[allocation].toPeers.add(count)
      counters.toPeers.add(count)
    } else {
      allocations[allocation].toClient.add(count)
      counters.toClients.add(count)
    }
    var wait: UInt64 = 0
    if bandwidth.isLimited {
      let user = BandwidthUser(
        subject: allocations[allocation].details.bandwidthSubject, own: allocations[allocation].details.ownBandwidth)
      wait = bandwidth.charge(
        count, of: &allocations[allocation].bandwidth, user,
        allocations[allocation].client.realm, direction, now: now.instant)
    }
    let limit = realms.bandwidth(of: allocations[allocation].client.realm)
    if !limit.isUnlimited {
      wait = max(wait, allocations[allocation].buckets[direction].charge(count, limit, now: now.instant))
    }
    return wait == 0 ? .zero : .nanoseconds(wait)
  }

  // MARK: - Ends

  /// Handles the timer of a peer connection: the attempt or the client's ConnectionBind has timed out, or the delayed
  /// answer about a failure must be sent.
  mutating func expirePeerConnection(_ handle: Handle<PeerConnection>) {
    guard let slot = peerConnections.slot(of: handle) else { return }
    if peerConnections[slot].state != .failed { commands.append(.closePipe(handle)) }
    remove(slot, refusing: .connectionTimeoutOrFailure)
  }

  /// Ends the peer connections of an allocation, of one family or all.
  mutating func endPeerConnections(of allocation: Slot<Allocation>, _ family: IPAddress.Family?) {
    var next = allocations[allocation].peerConnections.first
    while let slot = next {
      next = peerConnections.next(after: slot, in: allocations[allocation].peerConnections)
      guard family == nil || peerConnections[slot].peer.family == family else { continue }
      commands.append(.closePipe(peerConnections.handle(of: slot)))
      remove(slot, refusing: .connectionTimeoutOrFailure)
    }
  }

  /// Ends connections whose peers the new rules deny, because the rules do not check the bytes of a pipe.
  mutating func endForbiddenPeerConnections() {
    var walk = SlotWalk<PeerConnection>()
    while let slot = peerConnections.next(&walk) {
      let peer = peerConnections[slot].peer
      if rules.permits(peer, verdict: rules.verdict(peer.address), over: .tcp) { continue }
      commands.append(.closePipe(peerConnections.handle(of: slot)))
      remove(slot, refusing: .forbidden)
    }
  }

  /// Removes a peer connection; refuses a Connect request that waits for it.
  private mutating func remove(_ slot: Slot<PeerConnection>, refusing code: ErrorCode) {
    let request = peerConnections.takeRequest(of: slot)
    remove(slot)
    guard let request else { return }
    counters.errors &+= 1
    counters.answers.count(.connect, code)
    writer.begin(MessageType(.connect, .error), transactionID: request.transactionID)
    writer.append(code)
    let disposition = finish(by: request.principal, fingerprint: request.hasFingerprint)
    deliverLate(disposition, to: request.client, since: request.arrivedAt)
  }

  private mutating func remove(_ slot: Slot<PeerConnection>) {
    let allocation = peerConnections[slot].allocation
    peerConnections.remove(slot, from: &allocations[allocation].peerConnections, timers: &timers)
  }

  // MARK: - Beginnings

  mutating func addPeerConnection(
    _ peer: PeerAddress, _ state: PeerConnection.State, to allocation: Slot<Allocation>, for request: ConnectRequest?,
    now: Now
  ) -> Slot<PeerConnection> {
    let connection = PeerConnection(
      allocation: allocation, peer: peer, state: state,
      expiresAt: now.instant.advanced(by: Self.connectionTimeout))
    return peerConnections.insert(
      connection, for: request, to: &allocations[allocation].peerConnections, timers: &timers)
  }

  private mutating func awaitBind(_ slot: Slot<PeerConnection>, now: Now) {
    peerConnections.awaitBind(
      slot, as: newIdentifier(), until: now.instant.advanced(by: Self.connectionTimeout), timers: &timers)
  }

  /// A CONNECTION-ID: 32 unguessable bits, unique among live connections. Its remainder by the number of shards is the
  /// shard's number.
  private mutating func newIdentifier() -> UInt32 {
    while true {
      let random = UInt32(truncatingIfNeeded: portPicker.random())
      let count = UInt32(truncatingIfNeeded: shardCount)
      let (identifier, overflow) = (random - random % count).addingReportingOverflow(UInt32(truncatingIfNeeded: shard))
      if !overflow, identifier != 0, !peerConnections.hasIdentifier(identifier) { return identifier }
    }
  }
}
