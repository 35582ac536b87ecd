internal import NetworkTypes
internal import STUN
internal import Tables

/// Send indications (RFC 8656 section 11.2).
extension Relay {
  mutating func receiveSend(_ received: borrowing ReceivedMessage) -> Disposition {
    let now = received.now
    guard let allocation = allocations.find(received.client), allocations[allocation].expiresAt > now.instant else {
      return .drop(.noAllocation)
    }
    if allocations[allocation].hasPendingMove { completeMoveIfPending(of: allocation, by: received.client) }
    guard received.message.range(of: .dontFragment)?.isEmpty ?? true,
      let address = try? received.message.xorAddress(.xorPeerAddress),
      let data = received.message.range(of: .data)
    else { return .drop(.malformed) }
    let peer = PeerAddress(address)
    guard peer.port != 0, allocations[allocation].transport == .udp else { return .drop(.invalidPeer) }
    guard allocations[allocation].port(for: peer.family) != nil else { return .drop(.familyMismatch) }
    guard let verdict = permission(for: peer.address, on: allocation, now: now)?.verdict else {
      return .drop(.noPermission)
    }
    guard rules.permits(peer, verdict: verdict) else { return .drop(.forbiddenPeer) }
    let disposition = forward(
      received.message.bytes, from: allocation, to: relayed.destination(of: peer), verdict, offset: data.lowerBound,
      count: data.count, now: now)
    guard received.message.has(.dontFragment), heedsDontFragment(from: received.client, to: peer),
      case .toPeer(let port, let destination, _, _) = disposition
    else { return disposition }
    // Sections 11.2, 14 and 15: path MTU discovery needs few such datagrams, and each costs several system calls.
    guard allocations[allocation].unfragmentedBucket.take(1, Self.unfragmentedLimit, now: now.instant) else {
      return .drop(.overUnfragmented)
    }
    commands.append(.sendUnfragmented(port, destination, received.message.bytes.extracting(data).copied()))
    return .deferred
  }

  /// Limit of datagrams a second with the DF bit, for each allocation.
  private static let unfragmentedLimit = RateLimit(perSecond: 100)

  /// Between UDP and UDP, DONT-FRAGMENT is ignored if either side is IPv6 (RFC 8656 sections 13.1 to 13.3); from a
  /// stream it is obeyed for both families (section 15).
  private func heedsDontFragment(from client: ClientPath, to peer: PeerAddress) -> Bool {
    client.transport.isStream || (client.address.family == .ipv4 && peer.family == .ipv4)
  }
}
