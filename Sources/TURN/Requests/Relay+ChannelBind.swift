internal import NetworkTypes
internal import STUN
internal import Tables

/// ChannelBind (RFC 8656 section 12.2).
extension Relay {
  mutating func bindChannel(_ request: borrowing Request) throws(Refusal) -> Disposition {
    let allocation = try ownAllocation(of: request)
    let (number, peer) = try binding(in: request, of: allocation)
    let bound = channels.find(number, of: allocation)
    // Number and peer must belong to the same channel, or to none: a bound number keeps its peer, a peer its number.
    guard bound == channels.find(peer, of: allocation) else {
      throw .badRequest(bound == nil ? .peerTaken : .channelTaken)
    }
    guard allocations[allocation].port(for: peer.family) != nil else { throw .code(.peerAddressFamilyMismatch) }
    let verdict = rules.verdict(peer.address)
    guard rules.permits(peer, verdict: verdict) else { throw .peer(peer) }
    if bound == nil { try checkRoomForChannel(in: allocation) }
    try checkRoom(for: [peer.address], in: allocation)
    try countNewPeers([peer.address], in: allocation, request)

    let permission = install(peer.address, on: allocation, now: request.now)
    let slot = bound ?? addChannel(number, peer, permissions.handle(of: permission), on: allocation, now: request.now)
    channels[slot].expiresAt = request.now.instant.advanced(by: settings.policy.channelLifetime)
    channels[slot].permission = permissions.handle(of: permission)
    channels[slot].verdict = verdict
    channels[slot].rulesGeneration = rules.generation
    return success(request)
  }

  /// The channel and the peer that a ChannelBind names.
  private func binding(
    in request: borrowing Request, of allocation: Slot<Allocation>
  ) throws(Refusal) -> (UInt16, PeerAddress) {
    guard allocations[allocation].transport == .udp else { throw .badRequest(.streamAllocation) }
    guard let number = try? request.message.channelNumber() else { throw .badRequest(.noChannel) }
    let peer = try request.peer()
    if let fault = fault(ofChannel: number) { throw .badRequest(fault) }
    return (number, peer)
  }

  /// RFC 8656 section 12 has a quarter of RFC 5766's numbers. No other message begins with the bytes of the other
  /// numbers, so older clients may use them by default.
  private func fault(ofChannel number: UInt16) -> BadRequest? {
    if settings.policy.allowsOldChannels { return ChannelNumber.oldRange.contains(number) ? nil : .oldChannelRange }
    return ChannelNumber(rawValue: number) == nil ? .channelRange : nil
  }

  /// Throws 508 if the allocation has reached its limit of channels.
  private func checkRoomForChannel(in allocation: Slot<Allocation>) throws(Refusal) {
    let limit = realms[allocations[allocation].client.realm].settings.limits.channelsPerAllocation
    guard limit == 0 || allocations[allocation].channels.count < limit else { throw .limit(.channels) }
  }

  private mutating func addChannel(
    _ number: UInt16, _ peer: PeerAddress, _ permission: Handle<Permission>, on allocation: Slot<Allocation>, now: Now
  ) -> Slot<Channel> {
    let channel = Channel(
      allocation: allocation, number: number, verdict: .forbidden,
      isTranslated: relayed.translated(peer.address) != peer.address,
      expiresAt: now.instant.advanced(by: settings.policy.channelLifetime), peer: peer, permission: permission,
      rulesGeneration: rules.generation)
    return channels.insert(channel, to: &allocations[allocation].channels, timers: &timers)
  }

  mutating func remove(_ slot: Slot<Channel>) {
    let allocation = channels[slot].allocation
    channels.remove(slot, from: &allocations[allocation].channels, timers: &timers)
  }
}
