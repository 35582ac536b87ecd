internal import NetworkTypes
internal import Tables

/// One allocation's part of shared bandwidth limits.
struct AllocationBandwidth: BitwiseCopyable {
  fileprivate var share = ByDirection(RateBucket())
  fileprivate var userLease = ByDirection(BandwidthLease())

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    for direction in [MediaDirection.toPeers, .toClients] {
      try share[direction].code(with: &coder)
      try userLease[direction].code(with: &coder)
    }
  }
}

/// A user in the shared limits, and the user's own limit in bytes a second; 0: none.
struct BandwidthUser: BitwiseCopyable {
  let subject: RateTable.Subject
  let own: UInt32
}

/// Limits on the bandwidth of a realm's allocations.
struct BandwidthLimits {
  /// The rate of one user, and of the realm; for the default realm, of the server.
  let user: SharedRate
  let total: SharedRate

  init(_ realm: RealmSettings) {
    user = SharedRate(realm.limits.bandwidthPerUser)
    total = SharedRate(realm.limits.bandwidth)
  }
}

/// Shared bandwidth limits of users, realms and the server: one shard's part, and the pools of all shards.
struct SharedBandwidth {
  /// The state of one realm's limit, or of the server's.
  private struct Total: BitwiseCopyable {
    var lease = BandwidthLease()
    var share: FairShare
  }

  /// One realm; the default realm stands for the server.
  private struct RealmBandwidth {
    let limits: BandwidthLimits
    var totals: ByDirection<Total>
  }

  private let pools: BandwidthPools
  private var realms: [RealmBandwidth]

  /// Whether any shared limit is configured, or the user of an allocation has a separate limit. Otherwise a packet
  /// checks no shared limit.
  private(set) var isLimited: Bool
  private let hasRealmLimits: Bool
  /// The number of allocations whose users have limits of their own.
  private var ownLimits = 0

  init(_ settings: RelaySettings, _ pools: BandwidthPools) {
    self.pools = pools
    realms = settings.allRealms.map { realm in
      RealmBandwidth(
        limits: BandwidthLimits(realm), totals: ByDirection(Total(share: FairShare(of: realm.limits.bandwidth))))
    }
    hasRealmLimits = realms.contains { !$0.limits.user.isUnlimited || !$0.limits.total.isUnlimited }
    isLimited = hasRealmLimits
  }

  /// Applies new settings.
  mutating func update(_ settings: RelaySettings) {
    let count = ownLimits
    self = SharedBandwidth(settings, pools)
    changeOwnLimits(by: count)
  }

  /// Counts a new allocation.
  ///
  /// - Parameter own: its user's limit in bytes a second; 0: none.
  mutating func watch(_ own: UInt32) { changeOwnLimits(by: own > 0 ? 1 : 0) }

  /// Removes an ended allocation that `watch` has counted.
  mutating func unwatch(_ own: UInt32) { changeOwnLimits(by: own > 0 ? -1 : 0) }

  private mutating func changeOwnLimits(by change: Int) {
    ownLimits += change
    isLimited = hasRealmLimits || ownLimits > 0
  }

  /// The times at which a user's buckets are full again, for another process.
  func fullTimes(of user: RateTable.Subject) -> ByDirection<UInt64> {
    var times = ByDirection<UInt64>(0)
    guard isLimited else { return times }
    for direction in [MediaDirection.toPeers, .toClients] {
      times[direction] = pools[direction].users.fullTime(of: user)
    }
    return times
  }

  /// Takes over a user's buckets from another process.
  func restore(_ user: RateTable.Subject, fullAt times: ByDirection<UInt64>, now: Instant) {
    for direction in [MediaDirection.toPeers, .toClients] {
      pools[direction].users.restore(user, fullAt: times[direction], now: now)
    }
  }

  /// The realms that have a limit, by number.
  var limitedRealms: [RealmID] {
    realms.indices.filter { !realms[$0].limits.total.isUnlimited }.map {
      RealmID(rawValue: UInt8(truncatingIfNeeded: $0))
    }
  }

  /// Codes this shard's part of a realm's limit, and the time at which the pool of all shards is full again.
  ///
  /// - Parameter realm: nil: the process that reads the record has no such realm.
  mutating func code(
    _ realm: RealmID?, with coder: inout RecordCoder, now: Instant
  ) throws(RecordError) {
    guard let realm, Int(realm.rawValue) < realms.count else { return }
    let index = Int(realm.rawValue)
    for direction in [MediaDirection.toPeers, .toClients] {
      let pool = pools[direction]
      try realms[index].totals[direction].lease.code(with: &coder)
      try realms[index].totals[direction].share.code(with: &coder, pool.refusals[index])
      var full = pool.realms.fullTime(of: Self.subject(index))
      try coder.code(&full)
      if coder.isReading { pool.realms.restore(Self.subject(index), fullAt: full, now: now) }
    }
  }

  private func userLimit(_ user: BandwidthUser, _ index: Int) -> SharedRate {
    user.own > 0 ? SharedRate(.bytesPerSecond(UInt64(user.own))) : realms[index].limits.user
  }

  /// Returns the limit that stops a datagram. If it may pass, the result is nil and its bytes are charged.
  ///
  /// At a limit, datagrams larger than audio are dropped first, and among these the datagrams of allocations above
  /// their fair share.
  @inline(never)
  mutating func stops(
    _ count: Int, of allocation: inout AllocationBandwidth, _ user: BandwidthUser, _ realm: RealmID,
    _ direction: MediaDirection, now: Instant
  ) -> DropCause? {
    let index = self.index(of: realm)
    if let cause = exceedsShare(count, of: &allocation, index, direction, now: now) { return cause }
    if index != 0, !take(count, index, direction, now: now) { return .overRealmBandwidth }
    guard take(count, 0, direction, now: now) else { return .overServerBandwidth }
    let limit = userLimit(user, index)
    let isWithin =
      limit.isUnlimited
      || allocation.userLease[direction].take(count, limit, from: pools[direction].users, of: user.subject, now: now)
    return isWithin ? nil : .overUserBandwidth
  }

  /// Charges bytes of a stream, which cannot be dropped.
  ///
  /// - Returns: the nanoseconds for which reading in this direction must pause; 0: no pause.
  mutating func charge(
    _ count: Int, of allocation: inout AllocationBandwidth, _ user: BandwidthUser, _ realm: RealmID,
    _ direction: MediaDirection, now: Instant
  ) -> UInt64 {
    let index = self.index(of: realm)
    let share = fairShare(index, direction, now: now)
    var wait = share.isUnlimited ? 0 : allocation.share[direction].charge(count, share, now: now)
    wait = max(wait, charge(count, 0, direction, now: now))
    if index != 0 { wait = max(wait, charge(count, index, direction, now: now)) }
    let limit = userLimit(user, index)
    if !limit.isUnlimited {
      let owed = allocation.userLease[direction].charge(
        count, limit, from: pools[direction].users, of: user.subject, now: now)
      wait = max(wait, owed)
    }
    return wait
  }

  private func index(of realm: RealmID) -> Int {
    let index = Int(realm.rawValue)
    return index < realms.count ? index : 0
  }

  private static func subject(_ index: Int) -> RateTable.Subject { RateTable.Subject(UInt64(index), 0) }

  /// The rate of an allocation: the smaller of its fair shares of the server's limit and of the realm's.
  private mutating func fairShare(_ index: Int, _ direction: MediaDirection, now: Instant) -> RateLimit {
    realms[0].totals[direction].share.advance(to: now, pools[direction].refusals[0])
    let server = realms[0].totals[direction].share.limit
    guard index != 0 else { return server }
    realms[index].totals[direction].share.advance(to: now, pools[direction].refusals[index])
    let realm = realms[index].totals[direction].share.limit
    return realm.isStricter(than: server) ? realm : server
  }

  /// The cause to drop a large datagram of an allocation that sends more than its fair share; nil if the datagram may
  /// pass.
  private mutating func exceedsShare(
    _ count: Int, of allocation: inout AllocationBandwidth, _ index: Int, _ direction: MediaDirection, now: Instant
  ) -> DropCause? {
    let share = fairShare(index, direction, now: now)
    if share.isUnlimited { return nil }
    if count <= BandwidthLease.audioSize {
      _ = allocation.share[direction].charge(count, share, now: now)
      return nil
    }
    if allocation.share[direction].take(count, share, now: now) { return nil }
    return share.isStricter(than: realms[0].totals[direction].share.limit) ? .overRealmBandwidth : .overServerBandwidth
  }

  private mutating func take(_ count: Int, _ index: Int, _ direction: MediaDirection, now: Instant) -> Bool {
    let limit = realms[index].limits.total
    if limit.isUnlimited
      || realms[index].totals[direction].lease.take(
        count, limit, from: pools[direction].realms, of: Self.subject(index), now: now)
    {
      return true
    }
    realms[index].totals[direction].share.refuse(pools[direction].refusals[index])
    return false
  }

  /// - Returns: the nanoseconds by which the limit has been exceeded.
  private mutating func charge(_ count: Int, _ index: Int, _ direction: MediaDirection, now: Instant) -> UInt64 {
    let limit = realms[index].limits.total
    guard !limit.isUnlimited else { return 0 }
    let wait = realms[index].totals[direction].lease.charge(
      count, limit, from: pools[direction].realms, of: Self.subject(index), now: now)
    if wait > 0 { realms[index].totals[direction].share.refuse(pools[direction].refusals[index]) }
    return wait
  }
}
