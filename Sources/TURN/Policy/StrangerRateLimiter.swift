public import NetworkTypes
internal import Synchronization

/// How many answers a second one source address gets to what carries no valid credentials: Binding, 401, 438,
/// errors. Over all shards, without a lock, in memory of a fixed size.
///
/// Each address (IPv6: its /56) has a bucket that holds one second's worth. 65,536 buckets in sets of four: under a
/// flood of spoofed sources the bucket that is fullest again gives way, so forgetting never costs anybody an answer
/// that was due.
@safe
public final class StrangerRateLimiter: Sendable {
  // A bucket in one word: the upper 20 bits tell which address it is for, the lower 44 hold the time in
  // microseconds at which it is full again (the "theoretical arrival time" of the generic cell rate algorithm).
  nonisolated(unsafe) private let buckets: UnsafeMutablePointer<Atomic<UInt64>>
  private let seed: (UInt64, UInt64)
  private let limit = Atomic<UInt64>(0)

  static let setCount = 16_384
  static let ways = 4
  static let timeMask: UInt64 = 1 << 44 - 1

  /// - Parameter limit: answers a second; 0 is no limit.
  public init(limit: UInt32, seed: (UInt64, UInt64)) {
    self.seed = seed
    unsafe buckets = .allocate(capacity: Self.setCount * Self.ways)
    for index in 0..<(Self.setCount * Self.ways) { unsafe (buckets + index).initialize(to: Atomic(0)) }
    self.limit.store(UInt64(limit), ordering: .relaxed)
  }

  deinit {
    unsafe buckets.deinitialize(count: Self.setCount * Self.ways)
    unsafe buckets.deallocate()
  }

  public func setLimit(_ limit: UInt32) { self.limit.store(UInt64(limit), ordering: .relaxed) }

  /// Takes one answer from the address's budget; false where it is used up and silence is due.
  public func take(_ address: IPAddress, now: Instant) -> Bool { charge(address, now: now, takes: true) }

  /// Whether the address has an answer left, without taking it.
  public func hasBudget(_ address: IPAddress, now: Instant) -> Bool { charge(address, now: now, takes: false) }

  private func charge(_ address: IPAddress, now: Instant, takes: Bool) -> Bool {
    let limit = limit.load(ordering: .relaxed)
    guard limit > 0 else { return true }
    let subject = address.family == .ipv6 ? address.masked(to: 56) : address
    let mixed = (subject.high ^ seed.0).multipliedFullWidth(by: subject.low ^ seed.1 ^ UInt64(subject.family.rawValue))
    let hash = (mixed.high ^ mixed.low).multipliedFullWidth(by: seed.0 | 1)
    let bits = hash.high ^ hash.low
    let set = Int(bits & UInt64(Self.setCount - 1)) * Self.ways
    let tag = bits >> 44

    // Microseconds, from one on: a word of zero is a bucket that nobody has.
    let time = (now.nanoseconds / 1000 + 2_000_000) & Self.timeMask
    let cost = max(1_000_000 / limit, 1)
    var victim = set
    var victimFull = UInt64.max
    for way in set..<(set + Self.ways) {
      let word = unsafe buckets[way].load(ordering: .relaxed)
      // No honest bucket is full again later than a burst from now: such a word is from before the clock's 44 bits
      // (204 days) came round.
      let noted = word & Self.timeMask
      let full = noted > time + 2_000_000 ? 0 : noted
      if word != 0, word >> 44 == tag {
        let start = max(full, time)
        guard start + cost <= time + 1_000_000 else { return false }
        if takes {
          let next = tag << 44 | (start + cost) & Self.timeMask
          // Losing the race to another shard forgives one answer; that is cheaper than a loop.
          _ = unsafe buckets[way].compareExchange(expected: word, desired: next, ordering: .relaxed)
        }
        return true
      }
      if full < victimFull {
        victim = way
        victimFull = full
      }
    }
    if takes {
      unsafe buckets[victim].store(tag << 44 | (time + cost) & Self.timeMask, ordering: .relaxed)
    }
    return true
  }
}
