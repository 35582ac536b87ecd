internal import CIntrinsics

/// What a `FlatTable` is asked for: three words, whose meaning belongs to whoever made the key.
struct FlatKey: Equatable, BitwiseCopyable, Sendable {
  var a: UInt64
  var b: UInt64
  var c: UInt64

  @inline(__always)
  init(_ a: UInt64, _ b: UInt64 = 0, _ c: UInt64 = 0) {
    self.a = a
    self.b = b
    self.c = c
  }
}

/// Finds a record's index by its key in a few nanoseconds: open addressing in one flat piece of memory, linear
/// probing, never more than half full, deletion without tombstones.
///
/// Clients choose what they are hashed by (their ports), so the hash is keyed with a seed that nobody outside knows.
@safe
struct FlatTable: ~Copyable, Sendable {
  private struct Slot: BitwiseCopyable {
    var key: FlatKey
    /// The record's index plus one; 0 where the slot is empty.
    var value: UInt32
    /// The hash's low half: where the entry wants to be, kept for deletion and growth.
    var hash: UInt32
  }

  // Owned alone and freed in deinit; indices into it are always masked, so they cannot leave it.
  nonisolated(unsafe) private var slots: UnsafeMutablePointer<Slot>
  private var mask: Int
  private(set) var count = 0
  private let seed: (UInt64, UInt64, UInt64)

  static let minimumCapacity = 64

  init(seed: (UInt64, UInt64, UInt64)) {
    self.seed = seed
    mask = Self.minimumCapacity - 1
    unsafe slots = Self.allocate(Self.minimumCapacity)
  }

  deinit { unsafe slots.deallocate() }

  private static func allocate(_ capacity: Int) -> UnsafeMutablePointer<Slot> {
    let memory = UnsafeMutablePointer<Slot>.allocate(capacity: capacity)
    unsafe memory.initialize(repeating: Slot(key: FlatKey(0), value: 0, hash: 0), count: capacity)
    return unsafe memory
  }

  @inline(__always)
  private func hash(_ key: FlatKey) -> UInt32 {
    let first = (key.a ^ seed.0).multipliedFullWidth(by: key.b ^ seed.1)
    let second = (first.high ^ first.low ^ key.c ^ seed.2).multipliedFullWidth(by: seed.0 | 1)
    return UInt32(truncatingIfNeeded: second.high ^ second.low)
  }

  /// Has the processor fetch where `key` would be, for a `find` that comes soon.
  @inline(__always)
  func prefetch(_ key: FlatKey) {
    unsafe cintrinsics_prefetch(slots + (Int(hash(key)) & mask))
  }

  /// The index stored under `key`.
  @inline(__always)
  func find(_ key: FlatKey) -> Int? {
    var position = Int(hash(key)) & mask
    while true {
      let slot = unsafe slots[position]
      if slot.value == 0 { return nil }
      if slot.key == key { return Int(slot.value &- 1) }
      position = (position &+ 1) & mask
    }
  }

  /// Stores `index` under `key`, in place of what was there.
  mutating func insert(_ key: FlatKey, _ index: Int) {
    if (count + 1) * 2 > mask + 1 { resize(to: (mask + 1) * 2) }
    let hash = hash(key)
    var position = Int(hash) & mask
    while true {
      let slot = unsafe slots[position]
      if slot.value == 0 {
        count += 1
        break
      }
      if slot.key == key { break }
      position = (position &+ 1) & mask
    }
    unsafe slots[position] = Slot(key: key, value: UInt32(truncatingIfNeeded: index) &+ 1, hash: hash)
  }

  mutating func remove(_ key: FlatKey) {
    var position = Int(hash(key)) & mask
    while true {
      let slot = unsafe slots[position]
      if slot.value == 0 { return }
      if slot.key == key { break }
      position = (position &+ 1) & mask
    }
    // Moves later entries of the run into the gap, so that no probe ends too early.
    var gap = position
    var next = (gap &+ 1) & mask
    while true {
      let slot = unsafe slots[next]
      if slot.value == 0 { break }
      let home = Int(slot.hash) & mask
      // The entry may move if its home is not between the gap (exclusive) and where it is.
      if (next &- home) & mask >= (next &- gap) & mask {
        unsafe slots[gap] = slot
        gap = next
      }
      next = (next &+ 1) & mask
    }
    unsafe slots[gap].value = 0
    count -= 1
    if mask + 1 > Self.minimumCapacity, count * 8 < mask + 1 { resize(to: (mask + 1) / 2) }
  }

  private mutating func resize(to capacity: Int) {
    let old = unsafe slots
    let oldCapacity = mask + 1
    unsafe slots = Self.allocate(capacity)
    mask = capacity - 1
    for index in 0..<oldCapacity {
      let slot = unsafe old[index]
      guard slot.value != 0 else { continue }
      var position = Int(slot.hash) & mask
      while unsafe slots[position].value != 0 { position = (position &+ 1) & mask }
      unsafe slots[position] = slot
    }
    unsafe old.deallocate()
  }
}
