internal import NetworkTypes
internal import STUN

/// ChannelBind (RFC 8656 section 12.2), ChannelData from the client (12.6), and the tables behind them.
extension Relay {
  mutating func bindChannel(
    _ message: borrowing MessageView, from client: ClientPath, by principal: Principal, now: Now
  ) -> Disposition {
    guard let allocation = liveAllocation(on: client, now: now) else {
      return error(.allocationMismatch, message, by: principal)
    }
    guard isOwner(principal, of: allocation) else { return error(.wrongCredentials, message, by: principal) }
    if allocations[allocation].hasPendingMove { clientSpoke(on: allocation, from: client) }
    guard message.isWellFormed, allocations[allocation].transport == .udp else {
      return error(.badRequest, message, by: principal)
    }
    guard let bits = try? message.channelNumber(), let number = ChannelNumber(rawValue: bits),
      let peer = try? message.xorAddress(.xorPeerAddress), peer.port != 0
    else { return error(.badRequest, message, by: principal) }
    let byNumber = channelNumbers.find(numberKey(allocation, number.rawValue))
    let byPeer = channelPeers.find(peerKey(allocation, peer))
    // Both are the same channel or neither is one: a number keeps its peer, a peer its number, while bound.
    guard byNumber == byPeer else { return error(.badRequest, message, by: principal) }
    guard allocations[allocation].port(for: peer.family) != .max else {
      return error(.peerAddressFamilyMismatch, message, by: principal)
    }
    let verdict = gate.verdict(peer.address)
    guard gate.permits(peer, verdict: verdict) else { return error(.forbidden, message, by: principal) }
    let realm = settings.realm(of: client)
    let addsPermission = permissionAddresses.find(permissionKey(allocation, peer.address)) == nil
    guard
      hasRoom(
        allocations[allocation].channelCount, adding: byNumber == nil ? 1 : 0, limit: realm.channelsPerAllocation),
      hasRoom(
        allocations[allocation].permissionCount, adding: addsPermission ? 1 : 0,
        limit: realm.permissionsPerAllocation)
    else { return error(.insufficientCapacity, message, by: principal) }

    let permission = installPermission(peer.address, on: allocation, now: now)
    let index = byNumber ?? addChannel(number.rawValue, peer, on: allocation, now: now)
    channels[index].expiresAt = now.instant.advanced(bySeconds: settings.channelLifetime)
    channels[index].permission = permissions.id(of: permission)
    channels[index].verdict = verdict
    channels[index].rulesGeneration = rulesGeneration

    writer.begin(MessageType(.channelBind, .success), transactionID: message.transactionID)
    appendSoftware()
    return finish(by: principal, fingerprint: message.has(.fingerprint))
  }

  private mutating func addChannel(_ number: UInt16, _ peer: SocketAddress, on allocation: Int, now: Now) -> Int {
    let next = allocations[allocation].firstChannel
    let expiresAt = now.instant.advanced(bySeconds: settings.channelLifetime)
    let index = channels.insert(
      Channel(
        allocation: UInt32(truncatingIfNeeded: allocation), number: number, verdict: .forbidden,
        isTranslated: relayed.translated(peer.address) != peer.address, expiresAt: expiresAt, peer: peer,
        permission: .none, rulesGeneration: rulesGeneration, next: next))
    if next != .max { channels[Int(next)].previous = UInt32(truncatingIfNeeded: index) }
    allocations[allocation].firstChannel = UInt32(truncatingIfNeeded: index)
    allocations[allocation].channelCount += 1
    channelNumbers.insert(numberKey(allocation, number), index)
    channelPeers.insert(peerKey(allocation, peer), index)
    channels[index].timer = timers.schedule(.channel, channels.id(of: index), at: expiresAt)
    return index
  }

  @inline(__always)
  private func numberKey(_ allocation: Int, _ number: UInt16) -> FlatKey {
    FlatKey(UInt64(allocation) << 16 | UInt64(number))
  }

  @inline(__always)
  func peerKey(_ allocation: Int, _ peer: SocketAddress) -> FlatKey {
    FlatKey(
      UInt64(allocation) << 24 | UInt64(peer.port) << 8 | UInt64(peer.address.family.rawValue), peer.address.high,
      peer.address.low)
  }

  /// ChannelData from the client: the path of media towards peers.
  @inline(__always)
  mutating func receiveChannelData(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition {
    guard let data = try? ChannelData(bytes) else { return .drop(.malformed) }
    guard let allocation = fiveTuples.find(client.key), allocations[allocation].expiresAt > now.instant else {
      return .drop(.noAllocation)
    }
    if allocations[allocation].hasPendingMove { clientSpoke(on: allocation, from: client) }
    guard let index = channel(data.channel, of: allocation), channels[index].expiresAt > now.instant
    else { return .drop(.noChannel) }
    let verdict = currentVerdict(ofChannel: index)
    var destination = channels[index].peer
    guard gate.permits(destination, verdict: verdict) else { return .drop(.forbiddenPeer) }
    if channels[index].isTranslated { destination.address = relayed.translated(destination.address) }
    return forward(
      from: allocation, to: destination, verdict, offset: ChannelData.headerByteCount, count: data.count, now: now)
  }

  /// An allocation's channel by its number: the one that was used last without any look-up.
  @inline(__always)
  private mutating func channel(_ number: UInt16, of allocation: Int) -> Int? {
    let recent = Int(allocations[allocation].recentChannel)
    if channels.isOccupied(recent), channels[recent].number == number, Int(channels[recent].allocation) == allocation {
      return recent
    }
    guard let index = channelNumbers.find(numberKey(allocation, number)) else { return nil }
    allocations[allocation].recentChannel = UInt32(truncatingIfNeeded: index)
    return index
  }

  /// An allocation's channel by its peer, in the same way.
  @inline(__always)
  mutating func channel(to peer: SocketAddress, of allocation: Int) -> Int? {
    let recent = Int(allocations[allocation].recentChannel)
    if channels.isOccupied(recent), channels[recent].peer == peer, Int(channels[recent].allocation) == allocation {
      return recent
    }
    guard let index = channelPeers.find(peerKey(allocation, peer)) else { return nil }
    allocations[allocation].recentChannel = UInt32(truncatingIfNeeded: index)
    return index
  }

  @inline(__always)
  private mutating func currentVerdict(ofChannel index: Int) -> AddressVerdict {
    if channels[index].rulesGeneration != rulesGeneration {
      channels[index].verdict = gate.verdict(channels[index].peer.address)
      channels[index].rulesGeneration = rulesGeneration
    }
    return channels[index].verdict
  }

  /// Data of the client goes out of the allocation's relay port.
  @inline(__always)
  mutating func forward(
    from allocation: Int, to peer: SocketAddress, _ verdict: AddressVerdict, offset: Int, count: Int, now: Now
  ) -> Disposition {
    let port = allocations[allocation].portID(for: peer.family)
    guard port.index != .max else { return .drop(.familyMismatch) }
    if limitsBandwidth {
      let limit = bandwidth(of: allocations[allocation].client)
      guard limit.isUnlimited || allocations[allocation].toPeersBucket.take(count, limit, now: now.instant) else {
        return .drop(.overBandwidth)
      }
    }
    allocations[allocation].toPeers.add(count)
    counters.toPeers.add(count)
    if verdict != .allowed, relayed.mayBeLocal(peer.address) {
      if let target = ownRelays.find(relayed.key(of: peer)) {
        return handOver(offset: offset, count: count, from: Int(port.index), to: target, now: now)
      }
      if shardCount > 1, let owner = relayed.shard(of: peer), owner != shard, owner < shardCount {
        return .toShard(owner, from: port, to: peer, offset: offset, count: count)
      }
    }
    return .toPeer(port: port, peer: peer, offset: offset, count: count)
  }

  mutating func removeChannel(_ index: Int) {
    let channel = channels[index]
    let allocation = Int(channel.allocation)
    timers.cancel(channel.timer)
    channelNumbers.remove(numberKey(allocation, channel.number))
    channelPeers.remove(peerKey(allocation, channel.peer))
    if channel.previous != .max {
      channels[Int(channel.previous)].next = channel.next
    } else {
      allocations[allocation].firstChannel = channel.next
    }
    if channel.next != .max { channels[Int(channel.next)].previous = channel.previous }
    allocations[allocation].channelCount -= 1
    channels.remove(index)
  }
}
