internal import NetworkTypes
internal import STUN

/// Refresh (RFC 8656 section 8.2).
extension Relay {
  mutating func refresh(
    _ message: borrowing MessageView, from client: ClientPath, by principal: Principal, now: Now
  ) -> Disposition {
    guard let index = liveAllocation(on: client, now: now) else {
      return error(.allocationMismatch, message, by: principal)
    }
    guard isOwner(principal, of: index) else { return error(.wrongCredentials, message, by: principal) }
    let wish: UInt32?
    do {
      wish = try message.lifetime()
      if let requested = try message.addressFamily(.requestedAddressFamily) {
        guard let family = IPAddress.Family(rawValue: requested), allocations[index].port(for: family) != .max else {
          return error(.peerAddressFamilyMismatch, message, by: principal)
        }
      }
    } catch {
      return self.error(.badRequest, message, by: principal)
    }

    let granted = wish == 0 ? 0 : lifetime(for: wish)
    if granted == 0 {
      // Takes effect before the answer leaves: whoever has the answer can allocate anew at once.
      end(allocation: index, .deleted, now: now)
    } else {
      let expiresAt = now.instant.advanced(bySeconds: granted)
      // A timer that fires early is set again; only one that would fire too late must move.
      if expiresAt < allocations[index].expiresAt {
        timers.cancel(allocations[index].timer)
        allocations[index].timer = timers.schedule(.allocation, allocations.id(of: index), at: expiresAt)
      }
      allocations[index].expiresAt = expiresAt
    }
    writer.begin(MessageType(.refresh, .success), transactionID: message.transactionID)
    writer.append(.lifetime, granted)
    appendSoftware()
    return finish(by: principal, fingerprint: message.has(.fingerprint))
  }

  /// Who else uses the five-tuple gets 441 (RFC 8656 section 5).
  func isOwner(_ principal: Principal, of index: Int) -> Bool { details[index]?.username == principal.username }
}
