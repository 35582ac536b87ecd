internal import NetworkTypes
internal import Tables

/// The record that ends or is given up when a timer fires.
enum TimerSubject: BitwiseCopyable {
  case allocation(Handle<Allocation>)
  case permission(Handle<Permission>)
  case channel(Handle<Channel>)
  case reservation(Handle<Reservation>)
  case pendingRequest(Handle<PendingRequest>)
  case movedClient(Handle<MovedClient>)
  case peerConnection(Handle<PeerConnection>)
}

/// Deadlines of many records in one ring of buckets, a quarter of a second each: setting, cancelling and expiring a
/// timer takes constant time.
///
/// A timer may fire up to a quarter of a second late: the path of a packet compares the exact deadlines of its records
/// with the time, so the timer only removes expired records. If the deadline has moved since, the owner sets the timer
/// again when it fires.
struct TimerWheel: ~Copyable {
  struct Entry: BitwiseCopyable, ListElement {
    var links = ListLinks<Entry>()
    var subject: TimerSubject
    var tick: UInt64
  }

  /// A handle to a timer, kept in the record that the timer is for. The handle of a fired timer finds nothing, so
  /// cancelling it does not cancel another timer in the same slot.
  typealias TimerHandle = OptionalHandle<Entry>

  static let bucketCount = 4096
  static let tickNanoseconds: UInt64 = 250_000_000

  private var entries = SlotMap<Entry>()
  private var buckets: [OwnedList<Entry>]
  /// One bit for each bucket with timers, so that the next deadline is found without a scan of the buckets.
  private var occupied: [UInt64]
  private var currentTick: UInt64
  /// The tick of the first timer; nil without timers. It is kept because it is read for every packet.
  private var firstTick: UInt64?

  init(now: Instant) {
    buckets = Array(repeating: OwnedList(), count: Self.bucketCount)
    occupied = Array(repeating: 0, count: Self.bucketCount / 64)
    currentTick = now.nanoseconds / Self.tickNanoseconds
  }

  var count: Int { entries.count }

  /// Sets a timer and returns its handle. A timer beyond the ring's 17 minutes fires early, and the owner sets it
  /// again.
  mutating func schedule(_ subject: TimerSubject, at deadline: Instant) -> TimerHandle {
    // The tick is rounded up: a timer fires when its deadline has passed, never before.
    let wanted = deadline.nanoseconds / Self.tickNanoseconds + 1
    let tick = min(max(wanted, currentTick + 1), currentTick + UInt64(Self.bucketCount) - 1)
    let bucket = Int(tick % UInt64(Self.bucketCount))
    let slot = entries.insert(Entry(subject: subject, tick: tick))
    buckets[bucket].insert(slot, in: &entries)
    occupied[bucket / 64] |= 1 << UInt64(bucket % 64)
    firstTick = min(firstTick ?? tick, tick)
    return TimerHandle(entries.handle(of: slot))
  }

  /// Cancels a timer if it still exists.
  mutating func cancel(_ timer: TimerHandle) {
    if let handle = timer.handle, let slot = entries.slot(of: handle) { remove(slot) }
  }

  private mutating func remove(_ slot: Slot<Entry>) {
    let tick = entries[slot].tick
    let bucket = Int(tick % UInt64(Self.bucketCount))
    buckets[bucket].remove(slot, in: &entries)
    entries.remove(slot)
    guard buckets[bucket].first == nil else { return }
    occupied[bucket / 64] &= ~(1 << UInt64(bucket % 64))
    if tick == firstTick { firstTick = nextOccupiedTick() }
  }

  /// Takes one expired timer; nil if there is none.
  mutating func popDue(now: Instant) -> TimerSubject? {
    let nowTick = now.nanoseconds / Self.tickNanoseconds
    guard nowTick >= currentTick else { return nil }
    while true {
      if let slot = buckets[Int(currentTick % UInt64(Self.bucketCount))].first {
        let subject = entries[slot].subject
        remove(slot)
        return subject
      }
      guard currentTick < nowTick else { return nil }
      // Skips empty buckets, so that a long sleep costs no scan.
      currentTick = min(max(firstTick ?? nowTick, currentTick + 1), nowTick)
    }
  }

  /// The time of the next timer; nil without timers.
  @inline(__always)
  func nextDeadline() -> Instant? {
    firstTick.map { Instant(nanoseconds: $0 * Self.tickNanoseconds) }
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
