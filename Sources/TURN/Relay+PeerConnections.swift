public import NetworkTypes
internal import STUN

/// TCP relaying (RFC 6062): what becomes of peer connections, and the table behind them.
extension Relay {
  // MARK: - Inputs

  /// The connection of `connectPeer` is open: the client is told its CONNECTION-ID and has 30 s to bind it.
  public mutating func peerConnected(_ id: RecordID, now: Now) {
    guard let index = peerConnections.index(of: id) else {
      commands.append(.closePipe(id))
      return
    }
    guard let request = connectRequests.removeValue(forKey: index) else { return }
    awaitBind(index, now: now)
    writer.begin(MessageType(.connect, .success), transactionID: request.transactionID)
    writer.append(.connectionID, peerConnections[index].identifier)
    appendSoftware()
    deliverLate(finish(by: request.principal, fingerprint: request.hasFingerprint), to: request.client)
  }

  /// Why a connection did not come about.
  public enum ConnectFailure: Sendable {
    /// The peer refused, or nobody answered: 447.
    case refused
    /// The server has no room for one more: 508.
    case noCapacity
  }

  /// The connection of `connectPeer` did not come about.
  public mutating func peerConnectionFailed(_ id: RecordID, _ failure: ConnectFailure, now: Now) {
    guard let index = peerConnections.index(of: id) else { return }
    refuse(index, failure == .refused ? .connectionTimeoutOrFailure : .insufficientCapacity)
  }

  /// A peer's connection has been accepted on a TCP relayed address. The name that it goes by from now on; nil where it
  /// is to be closed at once (section 5.3).
  public mutating func peerAccepted(_ source: SocketAddress, on id: RecordID, now: Now) -> RecordID? {
    guard let port = relayPorts.index(of: id), relayPorts[port].allocation != .max else { return nil }
    let allocation = Int(relayPorts[port].allocation)
    guard allocations[allocation].expiresAt > now.instant,
      allocations[allocation].connectionCount < Self.connectionsPerAllocation,
      let peer = permittedPeer(source, on: allocation, now: now),
      connectionPeers.find(peerKey(allocation, peer)) == nil
    else { return nil }
    let index = addPeerConnection(peer, .unbound, to: allocation, now: now)
    awaitBind(index, now: now)
    writer.begin(MessageType(.connectionAttempt, .indication), transactionID: nextTransactionID())
    writer.append(.xorPeerAddress, xor: peer)
    writer.append(.connectionID, peerConnections[index].identifier)
    commands.append(.reply(allocations[allocation].client, writer.bytes.copied()))
    return peerConnections.id(of: index)
  }

  /// A peer as the client knows it, if there is a permission for it and no rule against it. A relay of ours behind a
  /// 1:1 NAT connects from its local address; clients know it by the advertised one.
  private mutating func permittedPeer(_ source: SocketAddress, on allocation: Int, now: Now) -> SocketAddress? {
    var candidates = [source]
    if let advertised = relayed.advertised(for: source.address) {
      candidates.insert(SocketAddress(advertised, port: source.port), at: 0)
    }
    for peer in candidates {
      guard let (_, verdict) = permission(for: peer.address, on: allocation, now: now) else { continue }
      return gate.permits(peer, verdict: verdict, over: .tcp) ? peer : nil
    }
    return nil
  }

  /// A pipe is over, or an unbound peer connection has ended.
  public mutating func pipeEnded(_ id: RecordID) {
    guard let index = peerConnections.index(of: id) else { return }
    removePeerConnection(index)
  }

  /// Bytes have gone through a pipe. How many nanoseconds nothing more may be read in that direction; 0: go on.
  public mutating func pipeCarried(_ count: Int, _ id: RecordID, toPeer: Bool, now: Now) -> UInt64 {
    guard let index = peerConnections.index(of: id) else { return 0 }
    let allocation = Int(peerConnections[index].allocation)
    if toPeer {
      allocations[allocation].toPeers.add(count)
      counters.toPeers.add(count)
    } else {
      allocations[allocation].toClient.add(count)
      counters.toClients.add(count)
    }
    let limit = bandwidth(of: allocations[allocation].client)
    guard !limit.isUnlimited else { return 0 }
    return toPeer
      ? allocations[allocation].toPeersBucket.charge(count, limit, now: now.instant)
      : allocations[allocation].toClientBucket.charge(count, limit, now: now.instant)
  }

  // MARK: - Ends

  /// Nobody answered, or nobody bound it, in time.
  mutating func expirePeerConnection(_ id: RecordID) {
    guard let index = peerConnections.index(of: id) else { return }
    peerConnections[index].timer = .max
    commands.append(.closePipe(id))
    refuse(index, .connectionTimeoutOrFailure)
  }

  /// Ends the peer connections of an allocation, of one family or all.
  mutating func endPeerConnections(of allocation: Int, _ family: IPAddress.Family?) {
    var name = allocations[allocation].firstConnection
    while name != .max {
      let index = Int(name)
      name = peerConnections[index].next
      guard family == nil || peerConnections[index].peer.family == family else { continue }
      commands.append(.closePipe(peerConnections.id(of: index)))
      refuse(index, .connectionTimeoutOrFailure)
    }
  }

  /// Ends the connections whose peers the rules of today do not allow: nobody asks the rules about a pipe's bytes.
  mutating func endForbiddenPeerConnections() {
    for index in 0..<peerConnections.upperBound where peerConnections.isOccupied(index) {
      let peer = peerConnections[index].peer
      if gate.permits(peer, verdict: gate.verdict(peer.address), over: .tcp) { continue }
      commands.append(.closePipe(peerConnections.id(of: index)))
      refuse(index, .forbidden)
    }
  }

  /// Removes a peer connection; a Connect request that waits for it is refused.
  private mutating func refuse(_ index: Int, _ code: ErrorCode) {
    let request = connectRequests.removeValue(forKey: index)
    removePeerConnection(index)
    guard let request else { return }
    counters.errors &+= 1
    writer.begin(MessageType(.connect, .error), transactionID: request.transactionID)
    writer.append(code)
    appendSoftware()
    deliverLate(finish(by: request.principal, fingerprint: request.hasFingerprint), to: request.client)
  }

  // MARK: - The table

  mutating func addPeerConnection(
    _ peer: SocketAddress, _ state: PeerConnection.State, to allocation: Int, now: Now
  ) -> Int {
    let next = allocations[allocation].firstConnection
    let expiresAt = now.instant.advanced(bySeconds: Self.connectionPatience)
    let index = peerConnections.insert(
      PeerConnection(
        allocation: UInt32(truncatingIfNeeded: allocation), peer: peer, state: state, expiresAt: expiresAt, next: next))
    if next != .max { peerConnections[Int(next)].previous = UInt32(truncatingIfNeeded: index) }
    allocations[allocation].firstConnection = UInt32(truncatingIfNeeded: index)
    allocations[allocation].connectionCount += 1
    connectionPeers.insert(peerKey(allocation, peer), index)
    peerConnections[index].timer = timers.schedule(.peerConnection, peerConnections.id(of: index), at: expiresAt)
    return index
  }

  /// Gives an open connection its CONNECTION-ID and the client its time to bind it.
  private mutating func awaitBind(_ index: Int, now: Now) {
    peerConnections[index].state = .unbound
    peerConnections[index].identifier = newIdentifier()
    connectionIdentifiers.insert(FlatKey(UInt64(peerConnections[index].identifier)), index)
    timers.cancel(peerConnections[index].timer)
    peerConnections[index].expiresAt = now.instant.advanced(bySeconds: Self.connectionPatience)
    peerConnections[index].timer = timers.schedule(
      .peerConnection, peerConnections.id(of: index), at: peerConnections[index].expiresAt)
  }

  /// 32 bits that nobody can guess and no other live connection has. The remainder by the number of shards tells
  /// which shard has it.
  private mutating func newIdentifier() -> UInt32 {
    while true {
      let random = UInt32(truncatingIfNeeded: portPicker.random())
      let count = UInt32(truncatingIfNeeded: shardCount)
      let (identifier, overflow) = (random - random % count).addingReportingOverflow(UInt32(truncatingIfNeeded: shard))
      if !overflow, identifier != 0, connectionIdentifiers.find(FlatKey(UInt64(identifier))) == nil { return identifier }
    }
  }

  private mutating func removePeerConnection(_ index: Int) {
    let connection = peerConnections[index]
    let allocation = Int(connection.allocation)
    timers.cancel(connection.timer)
    connectRequests[index] = nil
    connectionPeers.remove(peerKey(allocation, connection.peer))
    if connection.identifier != 0 { connectionIdentifiers.remove(FlatKey(UInt64(connection.identifier))) }
    if connection.previous != .max {
      peerConnections[Int(connection.previous)].next = connection.next
    } else {
      allocations[allocation].firstConnection = connection.next
    }
    if connection.next != .max { peerConnections[Int(connection.next)].previous = connection.previous }
    allocations[allocation].connectionCount -= 1
    peerConnections.remove(index)
  }
}
