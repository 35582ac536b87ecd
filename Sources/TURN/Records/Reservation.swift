internal import NetworkTypes
internal import Tables

/// The upper port of a pair, held for the user with its token (RFC 8656 section 7.2).
struct Reservation: BitwiseCopyable {
  var address: RelayedAddress
  /// The stamp that identifies the reservation: `RelayedAddresses.reserve`.
  var stamp: UInt32
  /// The tag of its `PortOwner`.
  var owner: UInt32
  var expiresAt: Instant

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&address)
    try coder.code(&stamp)
    try coder.code(&owner)
    try coder.code(&expiresAt)
  }
}

/// The reservations of a shard. No quota counts them, because they outlive their allocations, so each user has at most
/// `limit`.
struct ReservationTable: ~Copyable {
  static let limit = 16
  /// The time that a port is held (RFC 8656 section 7.2).
  static let lifetime = Duration.seconds(30)

  private var records = SlotMap<Reservation>()
  /// The number of reservations of each owner.
  private var counts: [UInt32: Int] = [:]

  var count: Int { records.count }

  var all: [Reservation] {
    var result: [Reservation] = []
    var walk = SlotWalk<Reservation>()
    while let slot = records.next(&walk) { result.append(records[slot]) }
    return result
  }

  mutating func insert(_ reservation: Reservation) -> Handle<Reservation> {
    counts[reservation.owner, default: 0] += 1
    return records.handle(of: records.insert(reservation))
  }

  /// Removes a reservation; nil if it has been removed already.
  mutating func remove(_ handle: Handle<Reservation>) -> Reservation? { records.slot(of: handle).map { remove($0) } }

  private mutating func remove(_ slot: Slot<Reservation>) -> Reservation {
    let reservation = records.remove(slot)
    let count = counts[reservation.owner] ?? 0
    counts[reservation.owner] = count > 1 ? count - 1 : nil
    return reservation
  }

  /// Whether a user may reserve one more port. Reservations with a used token no longer count. They are removed only at
  /// the limit, because any shard may have used the token.
  mutating func hasRoom(for owner: PortOwner, in addresses: RelayedAddresses) -> Bool {
    guard counts[owner.tag, default: 0] >= Self.limit else { return true }
    var walk = SlotWalk<Reservation>()
    while let slot = records.next(&walk) {
      let held = records[slot]
      if held.owner == owner.tag, !addresses.isReserved(held.address, stamp: held.stamp) { _ = remove(slot) }
    }
    return counts[owner.tag, default: 0] < Self.limit
  }
}
