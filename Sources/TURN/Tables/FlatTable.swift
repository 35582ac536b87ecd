internal import CIntrinsics
internal import Crypto
internal import Tables

/// The key of a `FlatTable`: three words, whose meaning the table's owner defines.
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

/// Finds a record's slot by its key in a few nanoseconds: open addressing in one block of memory, linear probing, at
/// most half full, deletion without tombstones.
///
/// Clients choose parts of the keys (their ports), so the hash is keyed with a seed that no client knows.
@safe
struct FlatTable<Record: ~Copyable>: ~Copyable, Sendable {
  private struct Entry: BitwiseCopyable {
    var key: FlatKey
    /// The index of the record's slot plus one; 0 if the entry is empty.
    var value: UInt32
    /// The low half of the hash, which gives the entry's home position, for deletion and growth.
    var hash: UInt32
  }

  // Owned by this value alone and freed in deinit; indices are always masked, so they stay within the block.
  nonisolated(unsafe) private var entries: UnsafeMutablePointer<Entry>
  private var mask: Int
  private(set) var count = 0
  private let seed: (UInt64, UInt64, UInt64)

  static var minimumCapacity: Int { 64 }

  init(seed: (UInt64, UInt64, UInt64)) {
    self.seed = seed
    mask = Self.minimumCapacity - 1
    unsafe entries = Self.allocate(Self.minimumCapacity)
  }

  /// - Parameter seeds: generates the table's seed.
  init(seeds: inout SeededGenerator) { self.init(seed: (seeds.next(), seeds.next(), seeds.next())) }

  deinit { unsafe entries.deallocate() }

  private static func allocate(_ capacity: Int) -> UnsafeMutablePointer<Entry> {
    let memory = UnsafeMutablePointer<Entry>.allocate(capacity: capacity)
    unsafe memory.initialize(repeating: Entry(key: FlatKey(0), value: 0, hash: 0), count: capacity)
    return unsafe memory
  }

  @inline(__always)
  private func hash(_ key: FlatKey) -> UInt32 {
    let first = (key.a ^ seed.0).multipliedFullWidth(by: key.b ^ seed.1)
    let second = (first.high ^ first.low ^ key.c ^ seed.2).multipliedFullWidth(by: seed.0 | 1)
    return UInt32(truncatingIfNeeded: second.high ^ second.low)
  }

  /// Prefetches the home position of `key`, for a `find` soon after.
  @inline(__always)
  func prefetch(_ key: FlatKey) {
    unsafe cintrinsics_prefetch(entries + (Int(hash(key)) & mask))
  }

  /// The slot stored under `key`.
  @inline(__always)
  func find(_ key: FlatKey) -> Slot<Record>? {
    var position = Int(hash(key)) & mask
    while true {
      let entry = unsafe entries[position]
      if entry.value == 0 { return nil }
      if entry.key == key { return Slot(index: entry.value &- 1) }
      position = (position &+ 1) & mask
    }
  }

  /// Stores `slot` under `key`; replaces an earlier slot.
  mutating func insert(_ key: FlatKey, _ slot: Slot<Record>) {
    if (count + 1) * 2 > mask + 1 { resize(to: (mask + 1) * 2) }
    let hash = hash(key)
    var position = Int(hash) & mask
    while true {
      let entry = unsafe entries[position]
      if entry.value == 0 {
        count += 1
        break
      }
      if entry.key == key { break }
      position = (position &+ 1) & mask
    }
    unsafe entries[position] = Entry(key: key, value: slot.index &+ 1, hash: hash)
  }

  mutating func remove(_ key: FlatKey) {
    var position = Int(hash(key)) & mask
    while true {
      let entry = unsafe entries[position]
      if entry.value == 0 { return }
      if entry.key == key { break }
      position = (position &+ 1) & mask
    }
    // Moves later entries of the run into the gap, so that no probe ends too early.
    var gap = position
    var next = (gap &+ 1) & mask
    while true {
      let entry = unsafe entries[next]
      if entry.value == 0 { break }
      let home = Int(entry.hash) & mask
      // The entry may move if its home is not between the gap (exclusive) and its position.
      if (next &- home) & mask >= (next &- gap) & mask {
        unsafe entries[gap] = entry
        gap = next
      }
      next = (next &+ 1) & mask
    }
    unsafe entries[gap].value = 0
    count -= 1
    if mask + 1 > Self.minimumCapacity, count * 8 < mask + 1 { resize(to: (mask + 1) / 2) }
  }

  private mutating func resize(to capacity: Int) {
    let old = unsafe entries
    let oldCapacity = mask + 1
    unsafe entries = Self.allocate(capacity)
    mask = capacity - 1
    for index in 0..<oldCapacity {
      let entry = unsafe old[index]
      guard entry.value != 0 else { continue }
      var position = Int(entry.hash) & mask
      while unsafe entries[position].value != 0 { position = (position &+ 1) & mask }
      unsafe entries[position] = entry
    }
    unsafe old.deallocate()
  }
}
