internal import Crypto
internal import NetworkTypes
internal import STUN
internal import Tables

/// A relayed transport address whose socket is open or being opened.
public struct RelayPort: BitwiseCopyable {
  /// The port's allocation; nil while the socket is being opened.
  private var owner = OptionalSlot<Allocation>()
  var address: RelayedAddress
  /// The IP address that the client is told. It stays the same when the server advertises another one.
  var advertised: IPAddress
  var family: IPAddress.Family
  var transport: RelayTransport
  /// The request for which it is opened.
  var ticket: Handle<PendingRequest>
  /// The expiry; each family of a dual allocation can be refreshed separately.
  var expiresAt: Instant
  /// Whether the next higher port is claimed with it, until the allocation reserves it.
  var claimsNext: Bool

  init(
    address: RelayedAddress, advertised: IPAddress, family: IPAddress.Family, transport: RelayTransport,
    ticket: Handle<PendingRequest>, expiresAt: Instant, claimsNext: Bool
  ) {
    self.address = address
    self.advertised = advertised
    self.family = family
    self.transport = transport
    self.ticket = ticket
    self.expiresAt = expiresAt
    self.claimsNext = claimsNext
  }

  /// The port's allocation; nil while the socket is being opened.
  @inline(__always)
  var allocation: Slot<Allocation>? {
    get { owner.slot }
    set { owner = OptionalSlot(newValue) }
  }
}

/// The relay ports of a shard, by handle and by relayed transport address.
struct RelayPortTable: ~Copyable {
  private var records = SlotMap<RelayPort>()
  /// Finds a live UDP relay port by the local form of its relayed transport address.
  private var addresses: FlatTable<RelayPort>

  init(seeds: inout SeededGenerator) { addresses = FlatTable(seeds: &seeds) }

  var count: Int { records.count }

  @inline(__always)
  subscript(slot: Slot<RelayPort>) -> RelayPort {
    unsafeAddress { unsafe UnsafePointer(records.address(of: slot)) }
    unsafeMutableAddress { unsafe records.address(of: slot) }
  }

  /// The relay port of a handle; nil if it has been removed.
  @inline(__always)
  func slot(of handle: Handle<RelayPort>) -> Slot<RelayPort>? { records.slot(of: handle) }

  @inline(__always)
  func handle(of slot: Slot<RelayPort>) -> Handle<RelayPort> { records.handle(of: slot) }

  /// The live UDP relay port with this relayed transport address in its local form.
  @inline(__always)
  func find(_ key: FlatKey) -> Slot<RelayPort>? { addresses.find(key) }

  var shape: SlotMap<RelayPort>.Shape { records.shape }

  /// Empties the table for `restore`; false if no table can have this shape.
  mutating func beginRestoring(_ shape: SlotMap<RelayPort>.Shape) -> Bool {
    guard let map = SlotMap<RelayPort>(restoring: shape) else { return false }
    records = map
    return true
  }

  mutating func finishRestoring() { records.finishRestoring() }

  /// Inserts a port of another process under its handle; false if the handle is in use.
  mutating func restore(_ port: RelayPort, at handle: Handle<RelayPort>) -> Bool { records.restore(port, at: handle) }

  mutating func insert(_ port: RelayPort) -> Handle<RelayPort> { records.handle(of: records.insert(port)) }

  /// Makes a port live, after its allocation was created. Only a UDP port is found by its address, because only
  /// datagrams are passed on without the kernel.
  mutating func publish(_ slot: Slot<RelayPort>, under key: FlatKey) {
    if records[slot].transport == .udp { addresses.insert(key, slot) }
  }

  /// Removes a live relay port.
  mutating func remove(_ slot: Slot<RelayPort>, under key: FlatKey) {
    if records[slot].transport == .udp { addresses.remove(key) }
    records.remove(slot)
  }

  /// Removes a relay port without an allocation.
  mutating func discard(_ slot: Slot<RelayPort>) { records.remove(slot) }
}
