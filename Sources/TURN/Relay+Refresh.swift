internal import NetworkTypes
internal import STUN

/// Refresh (RFC 8656 section 8.2).
extension Relay {
  mutating func refresh(
    _ message: borrowing MessageView, from client: ClientPath, by principal: Principal, now: Now
  ) -> Disposition {
    if message.has(.mobilityTicket) { return refreshMoved(message, from: client, by: principal, now: now) }
    guard let index = liveAllocation(on: client, now: now) else {
      return error(.allocationMismatch, message, by: principal)
    }
    guard isOwner(principal, of: index) else { return error(.wrongCredentials, message, by: principal) }
    if allocations[index].hasPendingMove { clientSpoke(on: index, from: client) }
    guard message.isWellFormed else { return error(.badRequest, message, by: principal) }
    return refresh(index, message, by: principal, movingTo: nil, now: now)
  }

  /// Once allocation and owner are known.
  ///
  /// - Parameter path: the five-tuple that a ticket brings the allocation to.
  mutating func refresh(
    _ index: Int, _ message: borrowing MessageView, by principal: Principal, movingTo path: ClientPath?, now: Now
  ) -> Disposition {
    let wish = try? message.lifetime()
    var family: IPAddress.Family?
    if let requested = try? message.addressFamily(.requestedAddressFamily) {
      family = IPAddress.Family(rawValue: requested)
      guard let family, allocations[index].port(for: family) != .max else {
        return error(.peerAddressFamilyMismatch, message, by: principal)
      }
    }

    let granted = wish == 0 ? 0 : lifetime(for: wish, principal)
    let families = family.map { [$0] } ?? [.ipv4, .ipv6]
    if granted == 0 {
      // Takes effect before the answer leaves: whoever has the answer can allocate anew at once.
      endFamilies(families, of: index, .deleted, now: now)
    } else {
      let expiresAt = now.instant.advanced(bySeconds: granted)
      for family in families {
        let port = allocations[index].port(for: family)
        if port != .max { relayPorts[Int(port)].expiresAt = expiresAt }
      }
      updateExpiry(of: index)
      renewCredential(of: index, principal, now: now)
      if let path { move(index, to: path, message.transactionID, now: now) }
    }
    writer.begin(MessageType(.refresh, .success), transactionID: message.transactionID)
    writer.append(.lifetime, granted)
    if granted > 0, message.has(.mobilityTicket), let mobility = details[index]?.mobility {
      writer.append(.mobilityTicket, mobility.ticket)
    }
    appendSoftware()
    return finish(by: principal, fingerprint: message.has(.fingerprint))
  }

  /// After a relayed address was given another deadline: the allocation lives as long as the last of them, and its
  /// timer fires no later than at the first.
  private mutating func updateExpiry(of index: Int) {
    let before = allocations[index].expiresAt
    let deadlines = portDeadlines(of: index)
    allocations[index].expiresAt = deadlines.last
    // A timer that fires early is set again; only one that would fire too late must move.
    guard deadlines.first < before else { return }
    timers.cancel(allocations[index].timer)
    allocations[index].timer = timers.schedule(.allocation, allocations.id(of: index), at: deadlines.first)
  }

  /// Whether an allocation that was made with a token is this token's: asked where the request comes from another
  /// five-tuple, which says nothing for it.
  func hasKey(_ principal: Principal, of index: Int) -> Bool {
    guard let made = details[index], made.credentialEnd != nil else { return true }
    guard let key = made.keys?.md5.first, let claimed = principal.key else { return false }
    return key == claimed
  }

  /// Who else uses the five-tuple gets 441 (RFC 8656 section 5).
  func isOwner(_ principal: Principal, of index: Int) -> Bool {
    guard let made = details[index], made.realm == principal.realm else { return false }
    // Whoever was authorized for this five-tuple goes on with other tokens, under other keys too (RFC 7635 section 9).
    if made.credentialEnd != nil, principal.remaining != nil { return true }
    return made.username == principal.username
  }
}
