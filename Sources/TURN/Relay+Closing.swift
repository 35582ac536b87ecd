internal import Crypto
public import NetworkTypes
internal import Tables

/// The allocations that an operator closes together.
public enum SessionSelection: Sendable, Equatable {
  /// The allocations of a user of a realm, by the whole name in each form that clients may send.
  case user(RealmID, names: [[UInt8]])
  /// The allocations of a realm's time-limited names whose password no present secret of the realm gives.
  case revoked(RealmID)
  /// The allocations of clients in a block of addresses.
  case clients(CIDRBlock)
}

extension Relay {
  /// Closes the selected allocations in a range of slots.
  ///
  /// - Parameters:
  ///   - position: the slot at which to begin: 0, or the position that the last call returned.
  ///   - slots: limit of visited slots, which bounds the time of the call.
  /// - Returns: the number of closed allocations, and the position for the next call; nil at the end.
  public mutating func endAllocations(
    _ selection: SessionSelection, from position: UInt32, slots: UInt32, now: Now
  ) -> (ended: Int, next: UInt32?) {
    var walk = SlotWalk<Allocation>(from: position)
    var ended = 0
    // Each secret costs some hashes for each allocation, so several secrets reduce the number of slots.
    let secrets = if case .revoked(let realm) = selection { realms[realm].settings.secrets.count } else { 1 }
    let slots = max(1, slots / UInt32(clamping: max(1, secrets)))
    while let slot = allocations.next(&walk) {
      if slot.index - position >= slots { return (ended, slot.index) }
      guard isSelected(slot, by: selection) else { continue }
      end(slot, .closed, now: now)
      ended += 1
    }
    return (ended, nil)
  }

  private func isSelected(_ slot: Slot<Allocation>, by selection: SessionSelection) -> Bool {
    switch selection {
    case .user(let realm, let names):
      return allocations[slot].details.realm == realm && names.contains(allocations[slot].details.username)
    case .revoked(let realm):
      return allocations[slot].details.realm == realm && isRevoked(slot)
    case .clients(let block):
      return block.contains(allocations[slot].client.address.address)
    }
  }

  /// Whether the owner's time-limited name has a password that no present secret of the realm gives.
  private func isRevoked(_ slot: Slot<Allocation>) -> Bool {
    let owner = allocations[slot].details
    guard owner.nameExpiry != nil, let keys = owner.keys else { return false }
    let realm = realms[owner.realm].settings
    return !realm.secrets.contains { secret in
      let valid = timeLimitedKeys(owner.username, secret: secret, in: realm)
      return valid.md5.map(\.array) == keys.md5.map(\.array)
    }
  }
}
