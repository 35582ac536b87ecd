internal import NetworkTypes
internal import STUN

/// CreatePermission (RFC 8656 section 10.2) and the table behind it.
extension Relay {
  mutating func createPermission(
    _ message: borrowing MessageView, from client: ClientPath, by principal: Principal, now: Now
  ) -> Disposition {
    guard let index = liveAllocation(on: client, now: now) else {
      return error(.allocationMismatch, message, by: principal)
    }
    guard isOwner(principal, of: index) else { return error(.wrongCredentials, message, by: principal) }
    if allocations[index].hasPendingMove { clientSpoke(on: index, from: client) }
    guard message.isWellFormed else { return error(.badRequest, message, by: principal) }

    // All are checked before any is installed: a request with one bad peer changes nothing.
    var peers: [IPAddress] = []
    var offset = 0
    while let range = message.nextRange(of: .xorPeerAddress, from: offset) {
      offset = (range.upperBound + 3) & ~3
      guard let peer = try? xorAddress(message.bytes.extracting(range), transactionID: message.transactionID) else {
        return error(.badRequest, message, by: principal)
      }
      // The port is ignored (section 10.1).
      if peers.contains(peer.address) { continue }
      guard peers.count < 256 else { return error(.insufficientCapacity, message, by: principal) }
      peers.append(peer.address)
    }
    guard !peers.isEmpty else { return error(.badRequest, message, by: principal) }
    for peer in peers where allocations[index].port(for: peer.family) == .max {
      return error(.peerAddressFamilyMismatch, message, by: principal)
    }
    for peer in peers where gate.verdict(peer) == .forbidden {
      return error(.forbidden, message, by: principal)
    }
    let added = peers.count { permissionAddresses.find(permissionKey(index, $0)) == nil }
    let limit = settings.realm(of: client).permissionsPerAllocation
    guard hasRoom(allocations[index].permissionCount, adding: added, limit: limit) else {
      return error(.insufficientCapacity, message, by: principal)
    }
    for peer in peers { installPermission(peer, on: index, now: now) }

    writer.begin(MessageType(.createPermission, .success), transactionID: message.transactionID)
    appendSoftware()
    return finish(by: principal, fingerprint: message.has(.fingerprint))
  }

  func hasRoom(_ count: UInt32, adding added: Int, limit: UInt32) -> Bool {
    limit == 0 || Int(count) + added <= Int(limit)
  }

  @inline(__always)
  func permissionKey(_ allocation: Int, _ address: IPAddress) -> FlatKey {
    FlatKey(UInt64(allocation) << 8 | UInt64(address.family.rawValue), address.high, address.low)
  }

  /// Installs or refreshes a permission: for exactly the permission lifetime from now (section 9).
  @discardableResult
  mutating func installPermission(_ address: IPAddress, on allocation: Int, now: Now) -> Int {
    let key = permissionKey(allocation, address)
    let expiresAt = now.instant.advanced(bySeconds: settings.permissionLifetime)
    if let index = permissionAddresses.find(key) {
      permissions[index].expiresAt = expiresAt
      permissions[index].verdict = gate.verdict(address)
      permissions[index].rulesGeneration = rulesGeneration
      return index
    }
    let next = allocations[allocation].firstPermission
    let index = permissions.insert(
      Permission(
        allocation: UInt32(truncatingIfNeeded: allocation), address: address, expiresAt: expiresAt,
        verdict: gate.verdict(address), rulesGeneration: rulesGeneration, next: next))
    if next != .max { permissions[Int(next)].previous = UInt32(truncatingIfNeeded: index) }
    allocations[allocation].firstPermission = UInt32(truncatingIfNeeded: index)
    allocations[allocation].permissionCount += 1
    permissionAddresses.insert(key, index)
    permissions[index].timer = timers.schedule(.permission, permissions.id(of: index), at: expiresAt)
    return index
  }

  /// The verdict of a live permission for this address; nil without one.
  mutating func permission(for address: IPAddress, on allocation: Int, now: Now) -> (Int, AddressVerdict)? {
    guard let index = permissionAddresses.find(permissionKey(allocation, address)),
      permissions[index].expiresAt > now.instant
    else { return nil }
    return (index, currentVerdict(ofPermission: index))
  }

  /// The rules may have been replaced since the verdict was noted.
  @inline(__always)
  mutating func currentVerdict(ofPermission index: Int) -> AddressVerdict {
    if permissions[index].rulesGeneration != rulesGeneration {
      permissions[index].verdict = gate.verdict(permissions[index].address)
      permissions[index].rulesGeneration = rulesGeneration
    }
    return permissions[index].verdict
  }

  mutating func removePermission(_ index: Int) {
    let permission = permissions[index]
    timers.cancel(permission.timer)
    permissionAddresses.remove(permissionKey(Int(permission.allocation), permission.address))
    if permission.previous != .max {
      permissions[Int(permission.previous)].next = permission.next
    } else {
      allocations[Int(permission.allocation)].firstPermission = permission.next
    }
    if permission.next != .max { permissions[Int(permission.next)].previous = permission.previous }
    allocations[Int(permission.allocation)].permissionCount -= 1
    permissions.remove(index)
  }
}
