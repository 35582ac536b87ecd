public import NetworkTypes
internal import STUN
public import Tables

/// A peer's payload: a part of the received datagram.
struct PeerDatagram: ~Escapable {
  let bytes: RawSpan
  let offset: Int
  let count: Int

  @_lifetime(copy bytes)
  @inline(__always)
  init(_ bytes: RawSpan, offset: Int, count: Int) {
    self.bytes = bytes
    self.offset = offset
    self.count = count
  }
}

/// Datagrams from peers (RFC 8656 sections 11.3 and 12.7): the path of media to clients.
extension Relay {
  /// Receives a datagram from a peer on a relay port.
  public mutating func receive(
    _ bytes: RawSpan, fromPeer peer: SocketAddress, on port: Handle<RelayPort>, now: Now
  ) -> Disposition {
    let disposition = receivePeerDatagram(
      PeerDatagram(bytes, offset: 0, count: bytes.byteCount), from: peer, on: port, now: now)
    if case .drop(let cause) = disposition { countDrop(cause, on: port, now: now) }
    return disposition
  }

  /// Receives a datagram from an allocation of another shard to a relayed address of this one, in its local form. The
  /// other shard has checked the sender's side; this shard checks the datagram like every peer's.
  public mutating func receive(
    _ bytes: RawSpan, fromSibling source: SocketAddress, to address: SocketAddress, now: Now
  ) -> Disposition {
    guard let port = relayPorts.find(relayed.key(of: address)) else {
      counters.count(.noRelayPort)
      return .drop(.noRelayPort)
    }
    return receive(bytes, fromPeer: source, on: relayPorts.handle(of: port), now: now)
  }

  /// The local form of a relay port's address, the source of its packets; nil if the port is closed.
  public func localAddress(ofPort handle: Handle<RelayPort>) -> SocketAddress? {
    relayPorts.slot(of: handle).map { relayed.local(relayPorts[$0].address) }
  }

  @inline(__always)
  mutating func receivePeerDatagram(
    _ datagram: borrowing PeerDatagram, from source: SocketAddress, on handle: Handle<RelayPort>, now: Now
  ) -> Disposition {
    guard let port = relayPorts.slot(of: handle), let allocation = relayPorts[port].allocation else {
      return .drop(.noRelayPort)
    }
    guard allocations[allocation].expiresAt > now.instant else { return .drop(.noAllocation) }

    // A relay of ours behind a 1:1 NAT sends from its local address, but the client knows its advertised address.
    if relayed.hasTranslations, let advertised = relayed.advertised(for: source.address) {
      let known = PeerAddress(advertised, port: source.port)
      let disposition = deliver(datagram, from: known, to: allocation, now: now)
      if case .drop(.noPermission) = disposition {} else { return disposition }
    }
    let disposition = deliver(datagram, from: PeerAddress(source), to: allocation, now: now)
    guard case .drop(.noPermission) = disposition, !relayed.former.isEmpty else { return disposition }
    return deliver(datagram, fromFormerFormOf: source, to: allocation, now: now)
  }

  /// Delivers a datagram whose sender may be an allocation of ours with a formerly advertised address.
  private mutating func deliver(
    _ datagram: borrowing PeerDatagram, fromFormerFormOf source: SocketAddress, to allocation: Slot<Allocation>,
    now: Now
  ) -> Disposition {
    for index in relayed.former.indices where relayed.former[index].local == source.address {
      let known = PeerAddress(relayed.former[index].advertised, port: source.port)
      let disposition = deliver(datagram, from: known, to: allocation, now: now)
      if case .drop(.noPermission) = disposition {} else { return disposition }
    }
    return .drop(.noPermission)
  }

  @inline(__always)
  private mutating func deliver(
    _ datagram: borrowing PeerDatagram, from peer: PeerAddress, to allocation: Slot<Allocation>, now: Now
  ) -> Disposition {
    if let slot = channels.find(peer, of: allocation, recent: &allocations[allocation].recentChannel),
      channels[slot].expiresAt > now.instant
    {
      guard let verdict = verdict(ofPermissionBehind: slot, now: now) else { return .drop(.noPermission) }
      guard rules.permits(peer, verdict: verdict) else { return .drop(.forbiddenPeer) }
      return sendChannelData(datagram, on: channels[slot].number, to: allocation, now: now)
    }
    guard let verdict = permission(for: peer.address, on: allocation, now: now)?.verdict else {
      return .drop(.noPermission)
    }
    guard rules.permits(peer, verdict: verdict) else { return .drop(.forbiddenPeer) }
    return sendDataIndication(datagram, from: peer, to: allocation, now: now)
  }

  /// The verdict of the live permission of a channel's peer; nil without one. The channel keeps a handle of the
  /// permission, and looks it up again only if the handle is stale.
  @inline(__always)
  private mutating func verdict(ofPermissionBehind slot: Slot<Channel>, now: Now) -> AddressVerdict? {
    if let permission = permissions.slot(of: channels[slot].permission) {
      return permissions[permission].expiresAt > now.instant ? currentVerdict(of: permission) : nil
    }
    guard let found = permission(for: channels[slot].peer.address, on: channels[slot].allocation, now: now) else {
      return nil
    }
    channels[slot].permission = permissions.handle(of: found.slot)
    return found.verdict
  }

  /// The largest payload of a UDP datagram.
  private static let largestDatagram = 65_507

  @inline(__always)
  private mutating func sendChannelData(
    _ datagram: borrowing PeerDatagram, on channel: UInt16, to allocation: Slot<Allocation>, now: Now
  ) -> Disposition {
    let count = datagram.count
    let isStream = allocations[allocation].client.transport.isStream
    guard isStream ? count <= 65_535 : count <= Self.largestDatagram - 4 else { return .drop(.tooLarge) }
    writer.beginRaw()
    writer.appendRaw(bigEndian: channel)
    writer.appendRaw(bigEndian: UInt16(truncatingIfNeeded: count))
    // Padding is for streams only (RFC 8656 section 12.5).
    return deliverToClient(datagram, padding: isStream ? -count & 3 : 0, allocation, now: now)
  }

  private mutating func sendDataIndication(
    _ datagram: borrowing PeerDatagram, from peer: PeerAddress, to allocation: Slot<Allocation>, now: Now
  ) -> Disposition {
    let count = datagram.count
    guard count <= Self.largestDatagram - 60 else { return .drop(.tooLarge) }
    writer.begin(MessageType(.data, .indication), transactionID: nextTransactionID())
    writer.append(.xorPeerAddress, xor: peer.transportAddress)
    writer.appendHeader(of: .data, followedBy: count)
    if isCapturing { captureIfWanted(to: allocations[allocation].client) }
    return deliverToClient(datagram, padding: -count & 3, allocation, now: now)
  }

  @inline(__always)
  private mutating func deliverToClient(
    _ datagram: borrowing PeerDatagram, padding: Int, _ allocation: Slot<Allocation>, now: Now
  ) -> Disposition {
    let count = datagram.count
    measureFromPeer(datagram, of: allocation, now: now)
    if let cause = bandwidthLimit(stopping: count, of: allocation, .toClients, now: now) { return .drop(cause) }
    allocations[allocation].toClient.add(count)
    counters.toClients.add(count)
    return .toClient(allocations[allocation].client, offset: 0, count: count, padding: padding)
  }

  /// The transaction ID of an indication: all bits are random, although there is no answer (RFC 8489 section 5).
  mutating func nextTransactionID() -> TransactionID {
    TransactionID(high: UInt32(truncatingIfNeeded: portPicker.random()), low: portPicker.random())
  }
}
