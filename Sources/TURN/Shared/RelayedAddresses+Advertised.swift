public import NetworkTypes
public import STUN

/// The advertised forms of relay addresses, which clients and peers use. Behind a 1:1 NAT they differ from the local
/// addresses, and may change while the server runs: new allocations get the new address, live ones keep theirs.
extension RelayedAddresses {
  /// Limit of `former`. Beyond it the oldest address is forgotten: other hosts still reach its allocations, other
  /// allocations of this server only if the NAT sends their packets back.
  public static let formerLimit = 8

  /// The time for which a former address counts as ours. After it another host may have the address; allocations that
  /// still use it lose the same as beyond `formerLimit`.
  public static let formerTime = Duration.seconds(86_400)

  /// The same ports with other advertised addresses.
  ///
  /// - Parameter addresses: one for each of `entries`.
  public func advertising(_ addresses: [IPAddress], now: Instant) -> RelayedAddresses {
    let next = zip(entries, addresses).map { Entry(local: $0.local, advertised: $1) }
    return with(next, former: entries.map { Former($0, since: now) } + former)
  }

  /// The same addresses, with those that an older process has advertised as former ones.
  ///
  /// - Parameter since: the time from which each of `earlier` was a former one; nil or missing: from now on.
  public func remembering(_ earlier: [Entry], since: [Instant?] = [], now: Instant) -> RelayedAddresses {
    let older = earlier.enumerated().map { index, entry in
      Former(entry, since: min((index < since.count ? since[index] : nil) ?? now, now))
    }
    return with(entries, former: former + older)
  }

  /// The same addresses without the former ones whose time is over; nil if there is no such former one.
  public func forgetting(now: Instant) -> RelayedAddresses? {
    let kept = former.filter { $0.since.advanced(by: Self.formerTime) > now }
    return kept.count == former.count ? nil : with(entries, former: kept)
  }

  /// The time of the next call of `forgetting`; nil: there is no former address.
  public var nextForgetting: Instant? { former.map { $0.since.advanced(by: Self.formerTime) }.min() }

  private func with(_ next: [Entry], former candidates: [Former]) -> RelayedAddresses {
    var former: [Former] = []
    for entry in candidates where entry.advertised != entry.local && next.contains(where: { $0.local == entry.local }) {
      // An address that is advertised now, for any relay address, is not a former one.
      let isKnown =
        next.contains { $0.advertised == entry.advertised }
        || former.contains { $0.local == entry.local && $0.advertised == entry.advertised }
      if !isKnown, former.count < Self.formerLimit { former.append(entry) }
    }
    return RelayedAddresses(entries: next, former: former, ports: ports, portWords: portWords)
  }

  /// Whether `address` is a relay address of ours, in its local form or one that is or was advertised.
  public func contains(_ address: IPAddress) -> Bool {
    entries.contains { $0.local == address || $0.advertised == address }
      || former.contains { $0.advertised == address }
  }

  /// Whether an allocation of any shard has this relayed transport address, in any of its forms.
  public func isLive(_ address: IPAddress, port: UInt16, _ transport: RelayTransport = .udp) -> Bool {
    for ordinal in entries.indices where isForm(address, of: entries[ordinal]) {
      guard let index = wordIndex(RelayedAddress(ordinal, port)) else { continue }
      let state = state(index)
      if state == .live(transport) || state == .foreign(transport) { return true }
      // The newer process opens further ports, which this process does not know.
      if hasSuccessor { return true }
    }
    return false
  }

  @inline(__always)
  private func isForm(_ address: IPAddress, of entry: Entry) -> Bool {
    if entry.local == address || entry.advertised == address { return true }
    for earlier in former where earlier.advertised == address { return earlier.local == entry.local }
    return false
  }

  /// The address to send to for a client's peer address: the local form of our advertised address, else the same.
  public func translated(_ address: IPAddress) -> IPAddress {
    for entry in entries where entry.advertised == address { return entry.local }
    for entry in former where entry.advertised == address { return entry.local }
    return address
  }

  /// The destination of packets to a peer: the local form if the peer is our own advertised relay address.
  @inline(__always)
  func destination(of peer: PeerAddress) -> SocketAddress {
    var destination = peer.transportAddress
    destination.address = translated(peer.address)
    return destination
  }

  /// The advertised form of a local relay address; nil if it is the same.
  func advertised(for local: IPAddress) -> IPAddress? {
    for entry in entries where entry.local == local && entry.advertised != local { return entry.advertised }
    return nil
  }

  /// The addresses by which clients may know a local address: advertised, formerly advertised, and itself.
  func forms(of local: IPAddress) -> [IPAddress] {
    let current = entries.filter { $0.local == local && $0.advertised != local }.map(\.advertised)
    return current + former.filter { $0.local == local && $0.advertised != local }.map(\.advertised) + [local]
  }

  /// The first of the addresses by which clients may know a local address that fulfils a condition: advertised, formerly
  /// advertised, and itself.
  func form(of local: IPAddress, where isKnown: (IPAddress) -> Bool) -> IPAddress? {
    for entry in entries where entry.local == local && entry.advertised != local {
      if isKnown(entry.advertised) { return entry.advertised }
    }
    for entry in former where entry.local == local && entry.advertised != local {
      if isKnown(entry.advertised) { return entry.advertised }
    }
    return isKnown(local) ? local : nil
  }
}
