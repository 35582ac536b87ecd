internal import NetworkTypes

/// What a timer stands for.
enum TimerKind: UInt8 {
  case allocation
  case permission
  case channel
  case reservation
  case pendingRequest
  case handOver
  case peerConnection
}

/// Deadlines of many records in one ring of buckets, a quarter of a second each: setting, clearing and expiring one
/// costs the same however many there are.
///
/// The wheel is only about freeing memory in time. Whether a permission counts is decided by its own deadline when
/// a packet asks, exactly; so a timer may fire up to a quarter of a second late, and one whose deadline has moved
/// on since is simply set again when it fires.
struct TimerWheel: ~Copyable {
  struct Entry: BitwiseCopyable {
    var kind: TimerKind
    var subject: RecordID
    var tick: UInt64
    var previous: UInt32
    var next: UInt32
  }

  static let bucketCount = 4096
  static let tickNanoseconds: UInt64 = 250_000_000

  private var entries = Slab<Entry>()
  private var heads: [UInt32]
  /// One bit for each bucket that holds anything, so that the next deadline is found without walking buckets.
  private var occupied: [UInt64]
  private var currentTick: UInt64

  init(now: Instant) {
    heads = Array(repeating: .max, count: Self.bucketCount)
    occupied = Array(repeating: 0, count: Self.bucketCount / 64)
    currentTick = now.nanoseconds / Self.tickNanoseconds
  }

  var count: Int { entries.count }

  /// Sets a timer and names it. A deadline beyond the ring's 17 minutes fires early and is set again by its owner.
  mutating func schedule(_ kind: TimerKind, _ subject: RecordID, at deadline: Instant) -> UInt32 {
    // Rounded up: a timer fires when its deadline has passed, never before.
    let wanted = deadline.nanoseconds / Self.tickNanoseconds + 1
    let tick = min(max(wanted, currentTick + 1), currentTick + UInt64(Self.bucketCount) - 1)
    let bucket = Int(tick % UInt64(Self.bucketCount))
    let next = heads[bucket]
    let index = entries.insert(Entry(kind: kind, subject: subject, tick: tick, previous: .max, next: next))
    let name = UInt32(truncatingIfNeeded: index)
    if next != .max { entries[Int(next)].previous = name }
    heads[bucket] = name
    occupied[bucket / 64] |= 1 << UInt64(bucket % 64)
    return name
  }

  mutating func cancel(_ name: UInt32) {
    let index = Int(name)
    guard name != .max, entries.isOccupied(index) else { return }
    let entry = entries[index]
    let bucket = Int(entry.tick % UInt64(Self.bucketCount))
    if entry.previous != .max {
      entries[Int(entry.previous)].next = entry.next
    } else {
      heads[bucket] = entry.next
      if entry.next == .max { occupied[bucket / 64] &= ~(1 << UInt64(bucket % 64)) }
    }
    if entry.next != .max { entries[Int(entry.next)].previous = entry.previous }
    entries.remove(index)
  }

  /// Takes one timer that is due; nil once none is.
  mutating func popDue(now: Instant) -> (kind: TimerKind, subject: RecordID)? {
    let nowTick = now.nanoseconds / Self.tickNanoseconds
    guard nowTick >= currentTick else { return nil }
    while true {
      let head = heads[Int(currentTick % UInt64(Self.bucketCount))]
      if head != .max {
        let entry = entries[Int(head)]
        cancel(head)
        return (entry.kind, entry.subject)
      }
      guard currentTick < nowTick else { return nil }
      // Jumps over empty buckets, so that a long sleep costs no walk.
      let next = nextOccupiedTick() ?? nowTick
      currentTick = min(max(next, currentTick + 1), nowTick)
    }
  }

  /// When the next timer is due; nil without timers.
  func nextDeadline() -> Instant? {
    guard let tick = nextOccupiedTick() else { return nil }
    return Instant(nanoseconds: tick * Self.tickNanoseconds)
  }

  private func nextOccupiedTick() -> UInt64? {
    guard entries.count > 0 else { return nil }
    let start = Int(currentTick % UInt64(Self.bucketCount))
    let words = occupied.count
    for step in 0...words {
      let word = (start / 64 + step) % words
      var bits = occupied[word]
      if step == 0 { bits &= ~0 << UInt64(start % 64) }
      if step == words { bits &= ~(~0 << UInt64(start % 64)) }
      guard bits != 0 else { continue }
      let bucket = word * 64 + bits.trailingZeroBitCount
      let distance = (bucket - start + Self.bucketCount) % Self.bucketCount
      return currentTick + UInt64(distance)
    }
    return nil
  }
}
