public import NetworkTypes

/// Time, and the end of things.
extension Relay {
  /// Time has come to `now`: frees what has run out.
  public mutating func advance(to now: Now) {
    while let (kind, subject) = timers.popDue(now: now.instant) {
      switch kind {
      case .allocation: expireAllocation(subject, now: now)
      case .permission: expirePermission(subject, now: now)
      case .channel: expireChannel(subject, now: now)
      case .reservation:
        relayed.releaseReservation(Int(subject.index), UInt16(truncatingIfNeeded: subject.generation))
      case .pendingRequest: expireWaiting(subject)
      }
    }
  }

  // A deadline that has moved on since its timer was set only has the timer set again.

  private mutating func expireAllocation(_ id: RecordID, now: Now) {
    guard let index = allocations.index(of: id) else { return }
    if allocations[index].expiresAt > now.instant {
      allocations[index].timer = timers.schedule(.allocation, id, at: allocations[index].expiresAt)
    } else {
      end(allocation: index, .expired, now: now)
    }
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
    let allocation = allocations[index]
    for name in [allocation.ipv4Port, allocation.ipv6Port] where name != .max {
      let port = relayPorts[Int(name)]
      commands.append(.closeRelayPort(relayPorts.id(of: Int(name))))
      relayPorts.remove(Int(name))
      relayed.release(Int(port.ordinal), port.port)
    }
    timers.cancel(allocation.timer)
    fiveTuples.remove(allocation.client.key)
    if let made = details[index] {
      commands.append(.release(user: made.quotaName, address: allocation.client.address.address))
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
