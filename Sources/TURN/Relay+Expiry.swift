public import NetworkTypes
internal import STUN

/// Time, and the end of things.
extension Relay {
  /// Time has come to `now`: frees what has run out.
  public mutating func advance(to now: Now) {
    while let (kind, subject) = timers.popDue(now: now.instant) {
      switch kind {
      case .allocation: expireAllocation(subject, now: now)
      case .permission: expirePermission(subject, now: now)
      case .channel: expireChannel(subject, now: now)
      case .reservation: expireReservation(subject)
      case .pendingRequest: expireWaiting(subject)
      case .handOver: expireHandOver(subject, now: now)
      case .peerConnection: expirePeerConnection(subject)
      }
    }
  }

  // A deadline that has moved on since its timer was set only has the timer set again.

  private mutating func expireAllocation(_ id: RecordID, now: Now) {
    guard let index = allocations.index(of: id) else { return }
    let expired = [IPAddress.Family.ipv4, .ipv6].filter { family in
      let port = allocations[index].port(for: family)
      return port != .max && relayPorts[Int(port)].expiresAt <= now.instant
    }
    if !expired.isEmpty { endFamilies(expired, of: index, .expired, now: now) }
    guard allocations.index(of: id) != nil else { return }
    allocations[index].timer = timers.schedule(.allocation, id, at: portDeadlines(of: index).first)
  }

  /// When the first and the last of an allocation's relayed addresses expires.
  func portDeadlines(of index: Int) -> (first: Instant, last: Instant) {
    var first: Instant?
    var last: Instant?
    for name in [allocations[index].ipv4Port, allocations[index].ipv6Port] where name != .max {
      let deadline = relayPorts[Int(name)].expiresAt
      first = min(first ?? deadline, deadline)
      last = max(last ?? deadline, deadline)
    }
    return (first ?? allocations[index].expiresAt, last ?? allocations[index].expiresAt)
  }

  /// Ends relayed addresses of a dual allocation, with the channels and permissions of their families and no others
  /// (RFC 8656 section 8.1); the allocation itself where no relayed address would be left.
  mutating func endFamilies(
    _ families: [IPAddress.Family], of index: Int, _ reason: EndReason, now: Now
  ) {
    let isLeft = [IPAddress.Family.ipv4, .ipv6].contains {
      !families.contains($0) && allocations[index].port(for: $0) != .max
    }
    guard isLeft else {
      end(allocation: index, reason, now: now)
      return
    }
    for family in families {
      endPeerConnections(of: index, family)
      var channel = allocations[index].firstChannel
      while channel != .max {
        let next = channels[Int(channel)].next
        if channels[Int(channel)].peer.family == family { removeChannel(Int(channel)) }
        channel = next
      }
      var permission = allocations[index].firstPermission
      while permission != .max {
        let next = permissions[Int(permission)].next
        if permissions[Int(permission)].address.family == family { removePermission(Int(permission)) }
        permission = next
      }
      close(allocations[index].port(for: family), of: index, now: now)
      switch family {
      case .ipv4: allocations[index].ipv4Port = .max
      case .ipv6: allocations[index].ipv6Port = .max
      }
    }
    allocations[index].expiresAt = portDeadlines(of: index).last
  }

  /// Closes a relay port of an allocation; `.max` is none. Others than its user get the number again after a while.
  private mutating func close(_ name: UInt32, of index: Int, now: Now) {
    guard name != .max else { return }
    let port = relayPorts[Int(name)]
    commands.append(closing(relayPorts.id(of: Int(name)), port.transport))
    relayPorts.remove(Int(name))
    if port.transport == .udp { ownRelays.remove(relayed.key(Int(port.ordinal), port.port)) }
    relayed.quarantine(
      Int(port.ordinal), port.port,
      from: PortOwner(username: details[index]?.quotaName ?? [], client: allocations[index].client), now: now.instant)
  }

  private mutating func expirePermission(_ id: RecordID, now: Now) {
    guard let index = permissions.index(of: id) else { return }
    if permissions[index].expiresAt > now.instant {
      permissions[index].timer = timers.schedule(.permission, id, at: permissions[index].expiresAt)
    } else {
      permissions[index].timer = .max
      removePermission(index)
    }
  }

  private mutating func expireChannel(_ id: RecordID, now: Now) {
    guard let index = channels.index(of: id) else { return }
    if channels[index].expiresAt > now.instant {
      channels[index].timer = timers.schedule(.channel, id, at: channels[index].expiresAt)
    } else {
      channels[index].timer = .max
      removeChannel(index)
    }
  }

  /// Nobody answered in time: the client has long given up, and what was taken for it is given back.
  private mutating func expireWaiting(_ ticket: RecordID) {
    guard let request = waiting.remove(ticket) else { return }
    if let pending = request.allocation { giveBack(pending, of: request) }
  }

  /// Ends an allocation: its ports are closed, its permissions and channels freed, its place in the quota given back.
  mutating func end(allocation index: Int, _ reason: EndReason, now: Now) {
    let summary = summary(of: index, now: now)
    while allocations[index].firstChannel != .max { removeChannel(Int(allocations[index].firstChannel)) }
    while allocations[index].firstPermission != .max { removePermission(Int(allocations[index].firstPermission)) }
    endPeerConnections(of: index, nil)
    let allocation = allocations[index]
    close(allocation.ipv4Port, of: index, now: now)
    close(allocation.ipv6Port, of: index, now: now)
    timers.cancel(allocation.timer)
    forgetFiveTuples(of: index)
    if let made = details[index] {
      commands.append(.release(QuotaHolder(realm: made.realm, user: made.quotaName, address: made.admittedAddress)))
    }
    details[index]?.keys?.wipe()
    details[index] = nil
    allocations.remove(index)
    commands.append(.event(.allocationEnded(summary, reason)))
  }

  func summary(of index: Int, now: Now) -> AllocationSummary {
    let allocation = allocations[index]
    let port = allocation.ipv4Port != .max ? allocation.ipv4Port : allocation.ipv6Port
    let made = details[index]
    return AllocationSummary(
      id: allocations.id(of: index), username: made?.username ?? [], client: allocation.client.address,
      transport: allocation.client.transport,
      relayed: port == .max ? .none : advertisedAddress(ofPort: Int(port)),
      age: made.map { now.instant.nanoseconds(since: $0.createdAt) / 1_000_000_000 } ?? 0,
      toPeers: allocation.toPeers, toClient: allocation.toClient)
  }
}
