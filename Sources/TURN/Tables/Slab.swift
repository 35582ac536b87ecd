/// Names a record that may be gone by now: its place and which of the place's tenants is meant. Whatever waits (a
/// look-up, a timer, a socket) keeps both.
public struct RecordID: Hashable, Sendable, BitwiseCopyable {
  public let index: UInt32
  public let generation: UInt32

  @inlinable
  public init(index: UInt32, generation: UInt32) {
    self.index = index
    self.generation = generation
  }

  public static let none = RecordID(index: .max, generation: 0)
}

/// Records of one kind in one flat piece of memory, named by index: no reference counts, no allocation a record.
@safe
struct Slab<Record: BitwiseCopyable>: ~Copyable {
  private struct Place {
    /// Odd while occupied: a tenant's generation never equals a free place's.
    var generation: UInt32
    var nextFree: UInt32
    var record: Record
  }

  /// Large records begin with a cache line, so that what is first in them is always in one.
  private static var stride: Int {
    MemoryLayout<Place>.stride > lineByteCount
      ? (MemoryLayout<Place>.stride + lineByteCount - 1) / lineByteCount * lineByteCount : MemoryLayout<Place>.stride
  }
  private static var lineByteCount: Int { 64 }

  // Owned alone and freed in deinit; every access checks its index against `used`.
  nonisolated(unsafe) private var memory: UnsafeMutableRawPointer
  private var capacity: Int
  private var used = 0
  private var firstFree: UInt32 = .max
  private(set) var count = 0

  init() {
    capacity = 16
    unsafe memory = Self.allocate(capacity)
  }

  deinit { unsafe memory.deallocate() }

  private static func allocate(_ capacity: Int) -> UnsafeMutableRawPointer {
    .allocate(byteCount: capacity * stride, alignment: lineByteCount)
  }

  @inline(__always)
  private func place(_ index: Int) -> UnsafeMutablePointer<Place> {
    unsafe (memory + index * Self.stride).assumingMemoryBound(to: Place.self)
  }

  /// One past the highest index ever occupied: what a walk over all records goes up to.
  var upperBound: Int { used }

  @inline(__always)
  subscript(index: Int) -> Record {
    get {
      precondition(index >= 0 && index < used)
      return unsafe place(index).pointee.record
    }
    // An addressor, so that changing one field does not copy the record.
    _modify {
      precondition(index >= 0 && index < used)
      yield unsafe &place(index).pointee.record
    }
  }

  @inline(__always)
  func isOccupied(_ index: Int) -> Bool { index >= 0 && index < used && (unsafe place(index).pointee.generation) & 1 == 1 }

  @inline(__always)
  func id(of index: Int) -> RecordID {
    precondition(index >= 0 && index < used)
    return RecordID(index: UInt32(truncatingIfNeeded: index), generation: unsafe place(index).pointee.generation)
  }

  /// The index that `id` names, if its record is still there.
  @inline(__always)
  func index(of id: RecordID) -> Int? {
    let index = Int(id.index)
    guard index < used, unsafe place(index).pointee.generation == id.generation, id.generation & 1 == 1 else { return nil }
    return index
  }

  mutating func insert(_ record: Record) -> Int {
    count += 1
    if firstFree != .max {
      let index = Int(firstFree)
      firstFree = unsafe place(index).pointee.nextFree
      unsafe place(index).pointee.record = record
      unsafe place(index).pointee.generation &+= 1
      return index
    }
    if used == capacity {
      let larger = unsafe Self.allocate(capacity * 2)
      // Records are plain bytes.
      unsafe larger.copyMemory(from: memory, byteCount: used * Self.stride)
      unsafe memory.deallocate()
      unsafe memory = larger
      capacity *= 2
    }
    unsafe place(used).initialize(to: Place(generation: 1, nextFree: .max, record: record))
    used += 1
    return used - 1
  }

  mutating func remove(_ index: Int) {
    guard isOccupied(index) else { return }
    unsafe place(index).pointee.generation &+= 1
    unsafe place(index).pointee.nextFree = firstFree
    firstFree = UInt32(truncatingIfNeeded: index)
    count -= 1
  }
}
