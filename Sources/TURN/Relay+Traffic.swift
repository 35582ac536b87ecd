public import NetworkTypes
internal import STUN

/// Send indications (RFC 8656 section 11.2) and what peers send (11.3, 12.7).
extension Relay {
  mutating func receiveSend(_ message: borrowing MessageView, from client: ClientPath, now: Now) -> Disposition {
    guard let allocation = fiveTuples.find(client.key), allocations[allocation].expiresAt > now.instant else {
      return .drop(.noAllocation)
    }
    if allocations[allocation].hasPendingMove { clientSpoke(on: allocation, from: client) }
    guard message.range(of: .dontFragment)?.isEmpty ?? true else { return .drop(.malformed) }
    guard let peer = try? message.xorAddress(.xorPeerAddress), let data = message.range(of: .data) else {
      return .drop(.malformed)
    }
    guard peer.port != 0, allocations[allocation].transport == .udp else { return .drop(.invalidPeer) }
    guard allocations[allocation].port(for: peer.family) != .max else { return .drop(.familyMismatch) }
    guard let (_, verdict) = permission(for: peer.address, on: allocation, now: now) else {
      return .drop(.noPermission)
    }
    guard gate.permits(peer, verdict: verdict) else { return .drop(.forbiddenPeer) }
    var destination = peer
    destination.address = relayed.translated(peer.address)
    let disposition = forward(
      from: allocation, to: destination, verdict, offset: data.lowerBound, count: data.count, now: now)
    guard message.has(.dontFragment), heedsDontFragment(from: client, to: peer),
      case .toPeer(let port, let peer, _, _) = disposition
    else { return disposition }
    // Sections 11.2, 14 and 15: for path MTU discovery, a datagram now and then. Each costs several system calls.
    guard allocations[allocation].unfragmentedBucket.take(1, Self.unfragmentedLimit, now: now.instant) else {
      return .drop(.overBandwidth)
    }
    commands.append(.sendUnfragmented(port, peer, message.bytes.extracting(data).copied()))
    return .waiting
  }

  /// Datagrams a second that one allocation may send unfragmented.
  private static let unfragmentedLimit = BandwidthLimit(bytesPerSecond: 100)

  /// Between UDP and UDP, where either side speaks IPv6, DONT-FRAGMENT is ignored (RFC 8656 sections 13.1 to 13.3);
  /// from a stream it is heeded for both families (section 15).
  private func heedsDontFragment(from client: ClientPath, to peer: SocketAddress) -> Bool {
    client.transport.isStream || (client.address.family == .ipv4 && peer.family == .ipv4)
  }

  /// Relay to relay on this shard: what would leave by one socket of ours and come in by another is handed over
  /// without the kernel, through the same checks on both sides.
  mutating func handOver(offset: Int, count: Int, from port: Int, to target: Int, now: Now) -> Disposition {
    switch receivePeerDatagram(count, from: localAddress(ofPort: port), on: relayPorts.id(of: target), now: now) {
    case .toClient(let client, _, let count, let padding):
      return .toClient(client, offset: offset, count: count, padding: padding)
    case let other:
      return other
    }
  }

  /// The local form of a relay port's address: what its packets would come from.
  private func localAddress(ofPort index: Int) -> SocketAddress {
    let port = relayPorts[index]
    return SocketAddress(relayed.entries[Int(port.ordinal)].local, port: port.port)
  }

  /// The same for whoever carries out a `toShard` disposition; nil where the port is gone.
  public func localAddress(ofPort id: RecordID) -> SocketAddress? {
    guard let index = relayPorts.index(of: id) else { return nil }
    return localAddress(ofPort: index)
  }

  /// What an allocation of another shard has sent to a relayed address of this one, in its local form. It was checked
  /// there; here it is checked as every peer's datagram is.
  public mutating func receive(
    _ bytes: RawSpan, fromSibling source: SocketAddress, to address: SocketAddress, now: Now
  ) -> Disposition {
    guard let port = ownRelays.find(relayed.key(of: address)) else {
      counters.count(.noRelayPort)
      return .drop(.noRelayPort)
    }
    return receive(bytes, fromPeer: source, on: relayPorts.id(of: port), now: now)
  }

  /// A peer's datagram: the path of media towards clients.
  @inline(__always)
  mutating func receivePeerDatagram(
    _ count: Int, from source: SocketAddress, on id: RecordID, now: Now
  ) -> Disposition {
    guard let portIndex = relayPorts.index(of: id), relayPorts[portIndex].allocation != .max else {
      return .drop(.noRelayPort)
    }
    let allocation = Int(relayPorts[portIndex].allocation)
    guard allocations[allocation].expiresAt > now.instant else { return .drop(.noAllocation) }

    // A relay of ours behind a 1:1 NAT sends from its local address; the client knows it by the advertised one.
    if relayed.hasTranslations, let advertised = relayed.advertised(for: source.address) {
      let known = SocketAddress(advertised, port: source.port)
      let disposition = deliver(count, from: known, to: allocation, now: now)
      if case .drop(.noPermission) = disposition {} else { return disposition }
    }
    return deliver(count, from: source, to: allocation, now: now)
  }

  @inline(__always)
  private mutating func deliver(
    _ count: Int, from peer: SocketAddress, to allocation: Int, now: Now
  ) -> Disposition {
    if let index = channel(to: peer, of: allocation), channels[index].expiresAt > now.instant {
      guard let verdict = verdict(ofChannel: index, now: now) else { return .drop(.noPermission) }
      guard gate.permits(peer, verdict: verdict) else { return .drop(.forbiddenPeer) }
      return sendChannelData(count, on: channels[index].number, to: allocation, now: now)
    }
    guard let (_, verdict) = permission(for: peer.address, on: allocation, now: now) else {
      return .drop(.noPermission)
    }
    guard gate.permits(peer, verdict: verdict) else { return .drop(.forbiddenPeer) }
    return sendDataIndication(count, from: peer, to: allocation, now: now)
  }

  /// The verdict of the live permission that a channel's peer has; nil without one. The permission is remembered by
  /// name and looked up again only when that has gone stale.
  @inline(__always)
  private mutating func verdict(ofChannel index: Int, now: Now) -> AddressVerdict? {
    if let permission = permissions.index(of: channels[index].permission) {
      return permissions[permission].expiresAt > now.instant ? currentVerdict(ofPermission: permission) : nil
    }
    guard
      let (permission, verdict) = permission(
        for: channels[index].peer.address, on: Int(channels[index].allocation), now: now)
    else { return nil }
    channels[index].permission = permissions.id(of: permission)
    return verdict
  }

  /// What a UDP datagram can carry at the most.
  private static let largestDatagram = 65_507

  @inline(__always)
  private mutating func sendChannelData(
    _ count: Int, on channel: UInt16, to allocation: Int, now: Now
  ) -> Disposition {
    let isStream = allocations[allocation].client.transport.isStream
    guard isStream ? count <= 65_535 : count <= Self.largestDatagram - 4 else { return .drop(.tooLarge) }
    writer.beginRaw()
    writer.appendRaw(bigEndian: channel)
    writer.appendRaw(bigEndian: UInt16(truncatingIfNeeded: count))
    // Padding is for streams only (RFC 8656 section 12.5).
    return deliverToClient(count, padding: isStream ? -count & 3 : 0, allocation, now: now)
  }

  private mutating func sendDataIndication(
    _ count: Int, from peer: SocketAddress, to allocation: Int, now: Now
  ) -> Disposition {
    guard count <= Self.largestDatagram - 60 else { return .drop(.tooLarge) }
    writer.begin(MessageType(.data, .indication), transactionID: nextTransactionID())
    writer.append(.xorPeerAddress, xor: peer)
    writer.appendHeader(of: .data, followedBy: count)
    return deliverToClient(count, padding: -count & 3, allocation, now: now)
  }

  @inline(__always)
  private mutating func deliverToClient(_ count: Int, padding: Int, _ allocation: Int, now: Now) -> Disposition {
    if limitsBandwidth {
      let limit = bandwidth(of: allocations[allocation].client)
      guard limit.isUnlimited || allocations[allocation].toClientBucket.take(count, limit, now: now.instant) else {
        return .drop(.overBandwidth)
      }
    }
    allocations[allocation].toClient.add(count)
    counters.toClients.add(count)
    return .toClient(allocations[allocation].client, offset: 0, count: count, padding: padding)
  }

  /// Of an indication: random in all its bits, although nobody answers it (RFC 8489 section 5).
  mutating func nextTransactionID() -> TransactionID {
    TransactionID(high: UInt32(truncatingIfNeeded: portPicker.random()), low: portPicker.random())
  }
}
