internal import Crypto
internal import NetworkTypes
internal import Tables

/// A channel bound to a peer's transport address (RFC 8656 section 12). The fields that packets read come first and fit
/// a line of 64 bytes.
struct Channel: BitwiseCopyable, ListElement {
  var allocation: Slot<Allocation>
  var number: UInt16
  var verdict: AddressVerdict
  /// Whether packets to the peer go to another address than the client names: the peer is a relay of ours behind a 1:1
  /// NAT.
  var isTranslated: Bool
  var expiresAt: Instant
  var peer: PeerAddress
  /// The permission of the peer's address; looked up again if this handle is stale.
  var permission: Handle<Permission>
  /// The edition of the peer rules that made the verdict.
  var rulesGeneration: UInt32
  var timer = TimerWheel.TimerHandle()
  var links = ListLinks<Channel>()
}

/// The channels of a shard's allocations: by number, by peer, and in a list for each allocation.
struct ChannelTable: ~Copyable {
  private var records = SlotMap<Channel>()
  /// Allocation and channel number to channel.
  private var numbers: FlatTable<Channel>
  /// Allocation and peer transport address to channel.
  private var peers: FlatTable<Channel>

  init(seeds: inout SeededGenerator) {
    numbers = FlatTable(seeds: &seeds)
    peers = FlatTable(seeds: &seeds)
  }

  var count: Int { records.count }
  /// One past the highest slot that was ever taken.
  var upperBound: UInt32 { records.upperBound }

  @inline(__always)
  subscript(slot: Slot<Channel>) -> Channel {
    unsafeAddress { unsafe UnsafePointer(records.address(of: slot)) }
    unsafeMutableAddress { unsafe records.address(of: slot) }
  }

  /// An allocation's channel by its number.
  ///
  /// - Parameter recent: the allocation's last used channel, which needs no look-up; set to the found channel.
  @inline(__always)
  func find(
    _ number: UInt16, of allocation: Slot<Allocation>, recent: inout OptionalSlot<Channel>
  ) -> Slot<Channel>? {
    if let slot = recent.slot, records.isTaken(slot), records[slot].number == number,
      records[slot].allocation == allocation
    {
      return slot
    }
    guard let slot = find(number, of: allocation) else { return nil }
    recent = OptionalSlot(slot)
    return slot
  }

  /// An allocation's channel by its peer; `recent` has the same meaning as in the look-up by number.
  @inline(__always)
  func find(
    _ peer: PeerAddress, of allocation: Slot<Allocation>, recent: inout OptionalSlot<Channel>
  ) -> Slot<Channel>? {
    if let slot = recent.slot, records.isTaken(slot), records[slot].peer == peer,
      records[slot].allocation == allocation
    {
      return slot
    }
    guard let slot = find(peer, of: allocation) else { return nil }
    recent = OptionalSlot(slot)
    return slot
  }

  @inline(__always)
  func find(_ number: UInt16, of allocation: Slot<Allocation>) -> Slot<Channel>? {
    numbers.find(Self.key(number, allocation))
  }

  @inline(__always)
  func find(_ peer: PeerAddress, of allocation: Slot<Allocation>) -> Slot<Channel>? {
    peers.find(FlatKey(peer, of: allocation))
  }

  /// The channel of a handle; nil if it has been removed.
  func slot(of handle: Handle<Channel>) -> Slot<Channel>? { records.slot(of: handle) }

  /// The channel after another one in its allocation's list.
  func next(after slot: Slot<Channel>, in list: OwnedList<Channel>) -> Slot<Channel>? {
    list.next(after: slot, in: records)
  }

  /// Binds a channel: adds it to its allocation's list and sets its timer.
  mutating func insert(
    _ channel: Channel, to list: inout OwnedList<Channel>, timers: inout TimerWheel
  ) -> Slot<Channel> {
    let slot = records.insert(channel)
    list.insert(slot, in: &records)
    numbers.insert(Self.key(channel.number, channel.allocation), slot)
    peers.insert(FlatKey(channel.peer, of: channel.allocation), slot)
    setTimer(of: slot, timers: &timers)
    return slot
  }

  /// Sets the timer of a channel to its deadline.
  mutating func setTimer(of slot: Slot<Channel>, timers: inout TimerWheel) {
    records[slot].timer = timers.schedule(.channel(records.handle(of: slot)), at: records[slot].expiresAt)
  }

  /// Removes a channel from the table, its list and the timers.
  mutating func remove(_ slot: Slot<Channel>, from list: inout OwnedList<Channel>, timers: inout TimerWheel) {
    list.remove(slot, in: &records)
    let channel = records.remove(slot)
    timers.cancel(channel.timer)
    numbers.remove(Self.key(channel.number, channel.allocation))
    peers.remove(FlatKey(channel.peer, of: channel.allocation))
  }

  @inline(__always)
  private static func key(_ number: UInt16, _ allocation: Slot<Allocation>) -> FlatKey {
    FlatKey(UInt64(allocation.index) << 16 | UInt64(number))
  }
}

extension FlatKey {
  /// The key of an allocation and one of its peers.
  @inline(__always)
  init(_ peer: PeerAddress, of allocation: Slot<Allocation>) {
    self.init(
      UInt64(allocation.index) << 24 | UInt64(peer.port) << 8 | UInt64(peer.family.rawValue), peer.address.high,
      peer.address.low)
  }
}
