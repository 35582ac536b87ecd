internal import NetworkTypes
internal import Synchronization

/// Rate limits of many subjects over all shards, without a lock, in a fixed size of memory.
///
/// Each subject has a bucket with the units of one period, in a set of four buckets. A new subject replaces the fullest
/// bucket of its set, so under a flood of made-up subjects a replaced bucket can only allow more, never refuse.
@safe
final class RateTable: Sendable {
  /// A number of units a second or a minute: requests, answers or bytes.
  struct Limit: Sendable, BitwiseCopyable {
    /// Units in a period; 0: no limit.
    private let count: UInt64
    /// The period in microseconds, in which an empty bucket fills.
    fileprivate let period: UInt64

    init(perSecond count: UInt64) { self.init(count, in: 1_000_000) }
    init(perMinute count: UInt64) { self.init(count, in: 60_000_000) }

    private init(_ count: UInt64, in period: UInt64) {
      self.count = count
      self.period = period
    }

    var isUnlimited: Bool { count == 0 }

    /// Microseconds for a number of units, at least one; nil on overflow.
    fileprivate func cost(of units: UInt64) -> UInt64? {
      guard count > 0 else { return 0 }
      let (product, overflow) = units.multipliedReportingOverflow(by: period)
      return overflow ? nil : max(product / count, 1)
    }
  }

  /// The subject of a bucket.
  struct Subject {
    fileprivate var high: UInt64
    fileprivate var low: UInt64

    init(_ high: UInt64, _ low: UInt64) {
      self.high = high
      self.low = low
    }

    /// An IPv4 address or IPv6 /56, or a group within it.
    init(_ address: IPAddress, group: UInt64 = 0) {
      let subject = address.family == .ipv6 ? address.masked(to: 56) : address
      self.init(subject.high ^ group << 48, subject.low ^ UInt64(subject.family.rawValue))
    }

    /// An IPv4 /24 or IPv6 /48.
    init(networkOf address: IPAddress) {
      let network = address.masked(to: address.family == .ipv6 ? 48 : 24)
      self.init(network.high, network.low ^ UInt64(network.family.rawValue))
    }
  }

  // Allocated once with a fixed number of buckets, freed in deinit; an index is masked to that number. Shards access
  // the words only as atomics. A bucket is one word: the upper 20 bits identify the subject, the lower 44 hold the time
  // in microseconds at which it is full again (the "theoretical arrival time" of the generic cell rate algorithm).
  nonisolated(unsafe) private let buckets: UnsafeMutablePointer<Atomic<UInt64>>
  private let seed: (UInt64, UInt64)
  private let setCount: Int
  /// A time at which every bucket is full again, in microseconds, rounded up so that shards seldom write it.
  private let fullAgain = Atomic<UInt64>(0)

  private static let ways = 4
  private static let timeMask: UInt64 = 1 << 44 - 1

  /// - Parameter setCount: sets of four buckets, a power of two up to 2^20.
  init(setCount: Int, seed: (UInt64, UInt64)) {
    precondition(setCount > 0 && setCount & (setCount - 1) == 0 && setCount <= 1 << 20)
    self.setCount = setCount
    self.seed = seed
    unsafe buckets = .allocate(capacity: setCount * Self.ways)
    for index in 0..<(setCount * Self.ways) { unsafe (buckets + index).initialize(to: Atomic(0)) }
  }

  deinit {
    unsafe buckets.deinitialize(count: setCount * Self.ways)
    unsafe buckets.deallocate()
  }

  /// Takes units from a subject's bucket; false, without taking, if it holds too few.
  func take(_ subject: Subject, count: Int = 1, _ limit: Limit, now: Instant) -> Bool {
    guard !limit.isUnlimited, count > 0 else { return true }
    guard let cost = limit.cost(of: UInt64(count)) else { return false }
    return change(subject, limit, now: now) { full, now in
      max(full, now) + cost <= now + limit.period ? max(full, now) + cost : nil
    }
  }

  /// Whether a subject's bucket holds a unit, without taking it.
  func hasBudget(_ subject: Subject, _ limit: Limit, now: Instant) -> Bool {
    guard !limit.isUnlimited else { return true }
    guard let cost = limit.cost(of: 1) else { return false }
    let now = Self.time(of: now)
    // Usually nothing was taken for a while; then no bucket has to be found.
    if fullAgain.load(ordering: .relaxed) <= now { return true }
    return max(bucket(of: subject, limit, now).full, now) + cost <= now + limit.period
  }

  /// Takes units while more than `keeping` of the bucket is left, even more units than the bucket holds: they are
  /// charged afterwards. False, without taking, if less is left.
  ///
  /// - Parameter keeping: the part of the bucket that must be left, in quarters.
  func spend(_ subject: Subject, count: Int, _ limit: Limit, keeping quarters: UInt64, now: Instant) -> Bool {
    guard !limit.isUnlimited, count > 0 else { return true }
    let cost = min(limit.cost(of: UInt64(count)) ?? limit.period, Self.largestDebt)
    return change(subject, limit, now: now) { full, now in
      let start = max(full, now)
      return start + limit.period / 4 * quarters < now + limit.period ? start + cost : nil
    }
  }

  /// Charges bytes of a stream, which cannot be dropped.
  ///
  /// - Returns: the nanoseconds that the sender must wait.
  func charge(_ subject: Subject, count: Int, _ limit: Limit, now instant: Instant) -> UInt64 {
    guard !limit.isUnlimited, count > 0 else { return 0 }
    let cost = min(limit.cost(of: UInt64(count)) ?? limit.period, Self.largestDebt)
    var wait: UInt64 = 0
    _ = change(subject, limit, now: instant) { full, now in
      let next = min(max(full, now) + cost, now + limit.period + Self.largestDebt)
      wait = next > now + limit.period ? next - now - limit.period : 0
      return next
    }
    return wait * 1000
  }

  // MARK: - Handover

  /// The time in microseconds at which a subject's bucket is full again, for `restore` in another process; 0: it has no
  /// bucket.
  func fullTime(of subject: Subject) -> UInt64 {
    let bits = hash(subject)
    let set = Int(bits & UInt64(setCount - 1)) * Self.ways
    for slot in set..<(set + Self.ways) {
      let word = unsafe buckets[slot].load(ordering: .relaxed)
      if word != 0, word >> 44 == bits >> 44 { return word & Self.timeMask }
    }
    return 0
  }

  /// Takes over the bucket of another process, which has the same monotonic clock.
  func restore(_ subject: Subject, fullAt time: UInt64, now instant: Instant) {
    let limit = Limit(perSecond: 1)
    _ = change(subject, limit, now: instant) { full, now in
      time > now ? max(full, min(time, now + limit.period + Self.largestDebt)) : nil
    }
  }

  // MARK: - Buckets

  /// Limit in microseconds of the debt beyond one period, for units that are charged afterwards: one minute.
  private static let largestDebt: UInt64 = 60_000_000

  /// The time in microseconds, never zero: a zero word is a free bucket.
  private static func time(of instant: Instant) -> UInt64 { (instant.nanoseconds / 1000 + 2_000_000) & timeMask }

  private func hash(_ subject: Subject) -> UInt64 {
    let mixed = (subject.high ^ seed.0).multipliedFullWidth(by: subject.low ^ seed.1)
    let hash = (mixed.high ^ mixed.low).multipliedFullWidth(by: seed.0 | 1)
    return hash.high ^ hash.low
  }

  /// A subject's bucket, or the bucket that it replaces: its slot, its word, the time at which it is full again, and
  /// the subject's tag. A bucket of another subject counts as full.
  private func bucket(
    of subject: Subject, _ limit: Limit, _ now: UInt64
  ) -> (slot: Int, word: UInt64, full: UInt64, tag: UInt64) {
    let bits = hash(subject)
    let set = Int(bits & UInt64(setCount - 1)) * Self.ways
    let tag = bits >> 44
    var victim = (slot: set, word: UInt64(0), full: UInt64.max)
    for slot in set..<(set + Self.ways) {
      let word = unsafe buckets[slot].load(ordering: .relaxed)
      // A bucket is full again at the latest after a period and the largest debt. A later time comes from before the
      // 44-bit clock wrapped (after 204 days).
      let recorded = word & Self.timeMask
      let full = recorded > now + limit.period + Self.largestDebt + 1_000_000 ? 0 : recorded
      if word != 0, word >> 44 == tag { return (slot, word, full, tag) }
      if full < victim.full { victim = (slot, word, full) }
    }
    return (victim.slot, victim.word, 0, tag)
  }

  /// Replaces the time at which a subject's bucket is full: `next` computes the new time from the old one; false if it
  /// returns nil.
  private func change(
    _ subject: Subject, _ limit: Limit, now instant: Instant, _ next: (_ full: UInt64, _ now: UInt64) -> UInt64?
  ) -> Bool {
    let now = Self.time(of: instant)
    // Another shard may change the bucket meanwhile. After four lost races the units are allowed and not charged.
    for _ in 0..<4 {
      let bucket = bucket(of: subject, limit, now)
      guard let full = next(bucket.full, now) else { return false }
      let word = bucket.tag << 44 | full & Self.timeMask
      let result = unsafe buckets[bucket.slot].compareExchange(
        expected: bucket.word, desired: word, ordering: .relaxed)
      if result.exchanged {
        recordFull(at: full, now: now)
        return true
      }
    }
    return true
  }

  /// Moves the time at which every bucket is full again. A value from before the clock wrapped is replaced.
  private func recordFull(at full: UInt64, now: UInt64) {
    let rounded = (full | 0xF_FFFF) + 1
    let recorded = fullAgain.load(ordering: .relaxed)
    if recorded > now + Self.timeMask / 2 {
      fullAgain.store(rounded, ordering: .relaxed)
    } else if rounded > recorded {
      fullAgain.max(rounded, ordering: .relaxed)
    }
  }
}
