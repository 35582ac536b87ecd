internal import Crypto
internal import NetworkTypes
internal import Tables

/// Permission to exchange data with one IP address (RFC 8656 section 9).
struct Permission: BitwiseCopyable, ListElement {
  var allocation: Slot<Allocation>
  var address: IPAddress
  var expiresAt: Instant
  var verdict: AddressVerdict
  /// The edition of the peer rules that made the verdict.
  var rulesGeneration: UInt32
  var timer = TimerWheel.TimerHandle()
  var links = ListLinks<Permission>()
}

/// The permissions of a shard's allocations: by address, and in a list for each allocation.
struct PermissionTable: ~Copyable {
  private var records = SlotMap<Permission>()
  /// Allocation and peer IP address to permission.
  private var addresses: FlatTable<Permission>

  init(seeds: inout SeededGenerator) { addresses = FlatTable(seeds: &seeds) }

  var count: Int { records.count }

  @inline(__always)
  subscript(slot: Slot<Permission>) -> Permission {
    unsafeAddress { unsafe UnsafePointer(records.address(of: slot)) }
    unsafeMutableAddress { unsafe records.address(of: slot) }
  }

  /// An allocation's permission for an address; it may have expired.
  @inline(__always)
  func find(_ address: IPAddress, of allocation: Slot<Allocation>) -> Slot<Permission>? {
    addresses.find(Self.key(address, allocation))
  }

  /// The permission of a handle; nil if it has been removed.
  @inline(__always)
  func slot(of handle: Handle<Permission>) -> Slot<Permission>? { records.slot(of: handle) }

  func handle(of slot: Slot<Permission>) -> Handle<Permission> { records.handle(of: slot) }

  /// The permission after another one in its allocation's list.
  func next(after slot: Slot<Permission>, in list: OwnedList<Permission>) -> Slot<Permission>? {
    list.next(after: slot, in: records)
  }

  /// Installs a permission: adds it to its allocation's list and sets its timer.
  mutating func insert(
    _ permission: Permission, to list: inout OwnedList<Permission>, timers: inout TimerWheel
  ) -> Slot<Permission> {
    let slot = records.insert(permission)
    list.insert(slot, in: &records)
    addresses.insert(Self.key(permission.address, permission.allocation), slot)
    setTimer(of: slot, timers: &timers)
    return slot
  }

  /// Sets the timer of a permission to its deadline.
  mutating func setTimer(of slot: Slot<Permission>, timers: inout TimerWheel) {
    records[slot].timer = timers.schedule(.permission(records.handle(of: slot)), at: records[slot].expiresAt)
  }

  /// Removes a permission from the table, its list and the timers.
  mutating func remove(_ slot: Slot<Permission>, from list: inout OwnedList<Permission>, timers: inout TimerWheel) {
    list.remove(slot, in: &records)
    let permission = records.remove(slot)
    timers.cancel(permission.timer)
    addresses.remove(Self.key(permission.address, permission.allocation))
  }

  @inline(__always)
  private static func key(_ address: IPAddress, _ allocation: Slot<Allocation>) -> FlatKey {
    FlatKey(UInt64(allocation.index) << 8 | UInt64(address.family.rawValue), address.high, address.low)
  }
}
