public import NetworkTypes
internal import STUN

extension ClientAllocation {
  /// Runs the expired timers: retransmissions, timeouts, refreshes.
  public mutating func advance(to now: Instant) {
    // Sorted by deadline, so that the output does not depend on the dictionary's order.
    let due = transactions.filter { $0.value.retransmission.deadline <= now }
      .sorted { ($0.value.retransmission.deadline, $0.key.low) < ($1.value.retransmission.deadline, $1.key.low) }
    for (id, var transaction) in due {
      switch transaction.retransmission.advance(to: now) {
      case .wait: break
      case .send:
        transactions[id] = transaction
        outputs.append(transaction.request)
      case .giveUp:
        transactions[id] = nil
        let failure: RequestFailure =
          transaction.discarded == .wrongIntegrity
          ? .integrityViolated
          : .timeout(
            transmissions: transaction.retransmission.transmissions, discarded: transaction.discarded)
        finish(transaction, failure, now: now)
      }
    }
    refreshWhatIsDue(now: now)
  }

  private mutating func refreshWhatIsDue(now: Instant) {
    if now >= allocationRefresh {
      allocationRefresh = .distantFuture
      _ = start(.refresh, isAutomatic: true, now: now)
    }
    if now >= permissionRefresh {
      permissionRefresh = .distantFuture
      var peers = permitted.values.sorted { $0.address < $1.address }[...]
      while !peers.isEmpty {
        _ = start(.createPermission(Array(peers.prefix(Self.permissionLimit))), isAutomatic: true, now: now)
        peers = peers.dropFirst(Self.permissionLimit)
      }
    }
    for (channel, due) in channelRefresh.sorted(by: { $0.key.rawValue < $1.key.rawValue }) where now >= due {
      channelRefresh[channel] = nil
      guard let peer = peersByChannel[channel.rawValue] else { continue }
      _ = start(.channelBind(channel, peer), isAutomatic: true, now: now)
    }
  }

  /// Plans the refresh a minute before the end, or after three quarters of a short lifetime (RFC 8656 section 8).
  mutating func planAllocationRefresh(_ lifetime: Duration, now: Instant) {
    guard settings.refreshesAutomatically else { return }
    let early = min(.seconds(60), max(lifetime / 4, .seconds(1)))
    allocationRefresh = now.advanced(by: max(lifetime - early, .seconds(1)))
  }

  /// Plans the refresh a minute before the five minutes of a permission end (RFC 8656 section 9).
  mutating func planPermissionRefresh(now: Instant) {
    guard settings.refreshesAutomatically else { return }
    permissionRefresh = min(permissionRefresh, now.advanced(by: .seconds(240)))
  }
}
