internal import Crypto
internal import NetworkTypes
internal import STUN
internal import Tables

/// An allocation (RFC 8656 section 3).
///
/// With thousands of allocations the cost of a packet is cache misses. The fields for a packet to a peer come first and
/// fit one line of 64 bytes; the further fields for a packet to the client fit the next. `details` comes last: a
/// relayed packet needs it only for shared bandwidth limits.
public struct Allocation: ~Copyable {
  /// The expiry of the relayed address that expires last.
  var expiresAt: Instant
  /// The relay port of each family.
  private var ipv4Port = OptionalHandle<RelayPort>()
  private var ipv6Port = OptionalHandle<RelayPort>()
  /// The last used channel: most clients have one busy channel.
  var recentChannel = OptionalSlot<Channel>()
  /// The transport of its relayed addresses: UDP, or TCP (RFC 6062).
  var transport = RelayTransport.udp
  /// Whether the client has announced another five-tuple (RFC 8016); a packet's path checks only this flag.
  var hasPendingMove = false
  /// The quality of the media from the client and from peers; none before its first permission or channel.
  var quality = ByDirection(OptionalSlot<PathQuality>())
  var toPeers = TrafficCount()
  var toClient = TrafficCount()
  var client: ClientPath
  /// The state of the allocation's own bandwidth limit.
  var buckets = ByDirection(RateBucket())
  var permissions = OwnedList<Permission>()
  var channels = OwnedList<Channel>()
  var peerConnections = OwnedList<PeerConnection>()
  var icmpBucket = RateBucket()
  var unfragmentedBucket = RateBucket()
  var bandwidth = AllocationBandwidth()
  var timer = TimerWheel.TimerHandle()
  var details: AllocationDetails

  init(client: ClientPath, transport: RelayTransport, expiresAt: Instant, details: AllocationDetails) {
    self.client = client
    self.transport = transport
    self.expiresAt = expiresAt
    self.details = details
  }

  /// The relay port of a family; nil if the allocation has no relayed address of it.
  @inline(__always)
  func port(for family: IPAddress.Family) -> Handle<RelayPort>? {
    family == .ipv4 ? ipv4Port.handle : ipv6Port.handle
  }

  /// Sets or removes the allocation's relay port of a family.
  mutating func setPort(_ port: Handle<RelayPort>?, for family: IPAddress.Family) {
    switch family {
    case .ipv4: ipv4Port = OptionalHandle(port)
    case .ipv6: ipv6Port = OptionalHandle(port)
    }
  }

  /// Its relay ports, IPv4 first.
  var ports: [Handle<RelayPort>] { [ipv4Port.handle, ipv6Port.handle].compactMap { $0 } }
}

/// The part of an allocation that requests use; a relayed packet needs it only for shared bandwidth limits.
struct AllocationDetails {
  var realm: RealmID
  /// The whole name of the owner (441).
  var username: [UInt8]
  /// The name that quotas count.
  var quotaName: [UInt8]
  /// The keys that verify the owner's messages and sign the answers; nil for anonymous access.
  var keys: CredentialKeys?
  /// The expiry of the access token; nil for other credentials.
  var credentialEnd: UnixTime?
  /// The expiry of the owner's time-limited name; nil for other credentials.
  var nameExpiry: UnixTime?
  var kind: AllocationKind
  var drops = AllocationDrops()
  /// The transaction ID of its Allocate, whose retransmissions get the same answer (RFC 8656 section 7.2).
  var transactionID: TransactionID
  /// The lifetime in the answer to Allocate.
  var grantedLifetime: Duration
  var reservationToken: UInt64?
  /// ADDRESS-ERROR-CODE to repeat when Allocate is retransmitted (RFC 8656 section 7.2, step 9).
  var addressError: (family: IPAddress.Family, code: ErrorCode)?
  var createdAt: Instant
  /// The address that the quota counts; it stays the same when the client moves.
  var admittedAddress: IPAddress
  /// The user in the shared bandwidth limits.
  var bandwidthSubject: RateTable.Subject
  /// Nil if the client has requested no ticket.
  @Rare var mobility: Mobility?
  /// The creation time of the nonce in the last 438.
  var nonceBirth = UnixTime.epoch
  /// An upper bound of the client's round trip (`ChallengeTimes`); nil if it is unknown.
  var roundTripMicroseconds: UInt32?
  /// The owner's bandwidth in bytes a second; 0: the realm's. A copy, because reading `keys` would change reference
  /// counts.
  var ownBandwidth: UInt32 = 0

  /// The user and address in the quota.
  var quotaHolder: QuotaHolder { QuotaHolder(realm: realm, user: quotaName, address: admittedAddress) }
}

/// The allocations of a shard, by handle and by five-tuple.
struct AllocationTable: ~Copyable {
  private var records = SlotMap<Allocation>()
  private var fiveTuples: FlatTable<Allocation>

  init(seeds: inout SeededGenerator) { fiveTuples = FlatTable(seeds: &seeds) }

  var count: Int { records.count }
  /// The number of five-tuples: a moving client has two for a while.
  @inline(__always) var fiveTupleCount: Int { fiveTuples.count }

  @inline(__always)
  subscript(slot: Slot<Allocation>) -> Allocation {
    unsafeAddress { unsafe UnsafePointer(records.address(of: slot)) }
    unsafeMutableAddress { unsafe records.address(of: slot) }
  }

  /// The allocation on a five-tuple, which may have expired.
  @inline(__always)
  func find(_ client: ClientPath) -> Slot<Allocation>? { fiveTuples.find(client.key) }

  @inline(__always)
  func slot(of handle: Handle<Allocation>) -> Slot<Allocation>? { records.slot(of: handle) }

  func handle(of slot: Slot<Allocation>) -> Handle<Allocation> { records.handle(of: slot) }

  /// Prefetches the entry that `find` will read.
  @inline(__always)
  func prefetch(_ client: ClientPath) { fiveTuples.prefetch(client.key) }

  /// The next allocation of a walk over all allocations.
  func next(_ walk: inout SlotWalk<Allocation>) -> Slot<Allocation>? { records.next(&walk) }

  var shape: SlotMap<Allocation>.Shape { records.shape }

  /// Empties the table for `restore`; false if no table can have this shape.
  mutating func beginRestoring(_ shape: SlotMap<Allocation>.Shape) -> Bool {
    guard let map = SlotMap<Allocation>(restoring: shape) else { return false }
    records = map
    return true
  }

  mutating func finishRestoring() { records.finishRestoring() }

  /// Inserts an allocation of another process under its handle; nil if the handle or its five-tuple is in use.
  mutating func restore(_ allocation: consuming Allocation, at handle: Handle<Allocation>) -> Slot<Allocation>? {
    let key = allocation.client.key
    let isDetached = allocation.details.mobility?.isDetached == true
    if !isDetached, fiveTuples.find(key) != nil { return nil }
    guard records.restore(allocation, at: handle), let slot = records.slot(of: handle) else { return nil }
    if !isDetached { fiveTuples.insert(key, slot) }
    return slot
  }

  mutating func insert(_ allocation: consuming Allocation) -> Slot<Allocation> {
    let key = allocation.client.key
    let slot = records.insert(allocation)
    fiveTuples.insert(key, slot)
    return slot
  }

  /// Removes an allocation and its five-tuples.
  mutating func remove(_ slot: Slot<Allocation>) {
    if records[slot].details.mobility?.isDetached != true { fiveTuples.remove(records[slot].client.key) }
    if let pending = records[slot].details.mobility?.pending { fiveTuples.remove(pending.key) }
    records[slot].details.keys?.wipe()
    records.remove(slot)
  }

  /// Adds another five-tuple of an allocation (RFC 8016).
  mutating func add(_ client: ClientPath, to slot: Slot<Allocation>) { fiveTuples.insert(client.key, slot) }

  /// Removes a five-tuple.
  mutating func forget(_ client: ClientPath) { fiveTuples.remove(client.key) }
}
