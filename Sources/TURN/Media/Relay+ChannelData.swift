internal import NetworkTypes
internal import STUN
internal import Tables

/// ChannelData messages from clients (RFC 8656 section 12.6): the path of media towards peers.
extension Relay {
  @inline(__always)
  mutating func receiveChannelData(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition {
    guard let data = try? ChannelData(bytes) else { return .drop(.malformed) }
    guard let allocation = allocations.find(client), allocations[allocation].expiresAt > now.instant else {
      return .drop(.noAllocation)
    }
    if allocations[allocation].hasPendingMove { completeMoveIfPending(of: allocation, by: client) }
    guard
      let slot = channels.find(data.channel, of: allocation, recent: &allocations[allocation].recentChannel),
      channels[slot].expiresAt > now.instant
    else { return .drop(.noChannel) }
    let verdict = currentVerdict(of: slot)
    let peer = channels[slot].peer
    guard rules.permits(peer, verdict: verdict) else { return .drop(.forbiddenPeer) }
    let destination = channels[slot].isTranslated ? relayed.destination(of: peer) : peer.transportAddress
    return forward(
      bytes, from: allocation, to: destination, verdict, offset: ChannelData.headerByteCount, count: data.count,
      now: now)
  }

  /// The verdict of the current peer rules; the record's verdict may be older.
  @inline(__always)
  private mutating func currentVerdict(of slot: Slot<Channel>) -> AddressVerdict {
    if channels[slot].rulesGeneration != rules.generation {
      channels[slot].verdict = rules.verdict(channels[slot].peer.address)
      channels[slot].rulesGeneration = rules.generation
    }
    return channels[slot].verdict
  }

  /// Sends the client's data, a part of `bytes`, from the allocation's relay port.
  @inline(__always)
  mutating func forward(
    _ bytes: RawSpan, from allocation: Slot<Allocation>, to destination: SocketAddress, _ verdict: AddressVerdict,
    offset: Int, count: Int, now: Now
  ) -> Disposition {
    guard let port = allocations[allocation].port(for: destination.family) else { return .drop(.familyMismatch) }
    measureFromClient(bytes, at: offset, count: count, of: allocation, now: now)
    if let cause = bandwidthLimit(stopping: count, of: allocation, .toPeers, now: now) { return .drop(cause) }
    allocations[allocation].toPeers.add(count)
    counters.toPeers.add(count)
    if verdict != .allowed, relayed.mayBeLocal(destination.address) {
      if let target = relayPorts.find(relayed.key(of: destination)) {
        return hairpin(bytes, offset: offset, count: count, from: port, to: target, now: now)
      }
      if shardCount > 1, let owner = relayed.shard(of: destination), owner != shard, owner < shardCount {
        return .toShard(owner, from: port, to: destination, offset: offset, count: count)
      }
    }
    return .toPeer(port: port, peer: destination, offset: offset, count: count)
  }

  /// Charges a datagram's bytes to the bandwidth limits; returns the cause to drop it if one of them is exceeded.
  @inline(__always)
  mutating func bandwidthLimit(
    stopping count: Int, of allocation: Slot<Allocation>, _ direction: MediaDirection, now: Now
  ) -> DropCause? {
    if realms.limitsBandwidth {
      let limit = realms.bandwidth(of: allocations[allocation].client.realm)
      guard limit.isUnlimited || allocations[allocation].buckets[direction].take(count, limit, now: now.instant) else {
        return .overBandwidth
      }
    }
    guard bandwidth.isLimited else { return nil }
    let user = BandwidthUser(
      subject: allocations[allocation].details.bandwidthSubject, own: allocations[allocation].details.ownBandwidth)
    return bandwidth.stops(
      count, of: &allocations[allocation].bandwidth, user,
      allocations[allocation].client.realm, direction, now: now.instant)
  }

  /// Delivers a packet between two relay ports of this shard without the kernel, after the same checks on both sides.
  private mutating func hairpin(
    _ bytes: RawSpan, offset: Int, count: Int, from port: Handle<RelayPort>, to target: Slot<RelayPort>, now: Now
  ) -> Disposition {
    guard let source = localAddress(ofPort: port) else { return .drop(.noRelayPort) }
    let datagram = PeerDatagram(bytes, offset: offset, count: count)
    switch receivePeerDatagram(datagram, from: source, on: relayPorts.handle(of: target), now: now) {
    case .toClient(let client, _, let count, let padding):
      return .toClient(client, offset: offset, count: count, padding: padding)
    case let other:
      return other
    }
  }
}
