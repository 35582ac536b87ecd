internal import NetworkTypes
internal import STUN
internal import Tables

/// CreatePermission (RFC 8656 section 10.2).
extension Relay {
  /// Limit of peers in one CreatePermission; 508 beyond it.
  private static let peersPerRequest = 256

  /// All peers are checked before any permission is installed: a request with one bad peer changes nothing.
  mutating func createPermission(_ request: borrowing Request) throws(Refusal) -> Disposition {
    let allocation = try ownAllocation(of: request)
    let peers = try request.peerAddresses(limit: Self.peersPerRequest)
    for peer in peers where allocations[allocation].port(for: peer.family) == nil {
      throw .code(.peerAddressFamilyMismatch)
    }
    for peer in peers where rules.verdict(peer) == .forbidden { throw .peer(PeerAddress(peer, port: 0)) }
    try checkRoom(for: peers, in: allocation)
    try countNewPeers(peers, in: allocation, request)
    for peer in peers { install(peer, on: allocation, now: request.now) }
    return success(request)
  }

  /// Throws 508 if these addresses would exceed the limit of permissions. Existing permissions may be refreshed even
  /// after a reload has lowered the limit.
  func checkRoom(for peers: [IPAddress], in allocation: Slot<Allocation>) throws(Refusal) {
    let added = peers.count { permissions.find($0, of: allocation) == nil }
    let limit = realms[allocations[allocation].client.realm].settings.limits.permissionsPerAllocation
    guard added == 0 || limit == 0 || Int(allocations[allocation].permissions.count) + added <= Int(limit) else {
      throw .limit(.permissions)
    }
  }

  /// Throws 508 if a user's permissions name too many new peers in a minute, over all allocations. A refreshed
  /// permission names no new peer.
  func countNewPeers(
    _ peers: [IPAddress], in allocation: Slot<Allocation>, _ request: borrowing Request
  ) throws(Refusal) {
    let added = peers.count { permissions.find($0, of: allocation) == nil }
    let limit = realms[request.principal.realm].settings.limits.newPeersPerUser
    let user = RateTable.Subject(request.principal.holder(at: request.client))
    guard added == 0 || users.takeNewPeers(added, of: user, limit: limit, now: request.now.instant) else {
      throw .limit(.newPeers)
    }
  }

  /// Installs or refreshes a permission for exactly the permission lifetime (section 9).
  @discardableResult
  mutating func install(_ peer: IPAddress, on allocation: Slot<Allocation>, now: Now) -> Slot<Permission> {
    let expiresAt = now.instant.advanced(by: settings.policy.permissionLifetime)
    if let slot = permissions.find(peer, of: allocation) {
      permissions[slot].expiresAt = expiresAt
      permissions[slot].verdict = rules.verdict(peer)
      permissions[slot].rulesGeneration = rules.generation
      return slot
    }
    beginQuality(of: allocation)
    let permission = Permission(
      allocation: allocation, address: peer, expiresAt: expiresAt, verdict: rules.verdict(peer),
      rulesGeneration: rules.generation)
    return permissions.insert(permission, to: &allocations[allocation].permissions, timers: &timers)
  }

  /// The live permission for an address and the verdict on it; nil without one.
  @inline(__always)
  mutating func permission(
    for address: IPAddress, on allocation: Slot<Allocation>, now: Now
  ) -> (slot: Slot<Permission>, verdict: AddressVerdict)? {
    guard let slot = permissions.find(address, of: allocation), permissions[slot].expiresAt > now.instant else {
      return nil
    }
    return (slot, currentVerdict(of: slot))
  }

  /// The verdict of the current peer rules; the record's verdict may be older.
  @inline(__always)
  mutating func currentVerdict(of slot: Slot<Permission>) -> AddressVerdict {
    if permissions[slot].rulesGeneration != rules.generation {
      permissions[slot].verdict = rules.verdict(permissions[slot].address)
      permissions[slot].rulesGeneration = rules.generation
    }
    return permissions[slot].verdict
  }

  mutating func remove(_ slot: Slot<Permission>) {
    let allocation = permissions[slot].allocation
    permissions.remove(slot, from: &allocations[allocation].permissions, timers: &timers)
  }
}
