/// Values that own something, each in a numbered place. A place remembers how many tenants it has had, so that a
/// late event for one cannot reach the next.
@safe
public struct Places<Element: ~Copyable>: ~Copyable {
  // Owned alone and freed in deinit. A place is initialised exactly while its generation is odd, and every access
  // checks that.
  @usableFromInline nonisolated(unsafe) internal var storage: UnsafeMutablePointer<Element>
  @usableFromInline internal var generations: [UInt32] = []
  private var free: [Int] = []
  private var capacity = 16
  public private(set) var count = 0

  public init() { unsafe storage = .allocate(capacity: capacity) }

  deinit {
    for index in generations.indices where generations[index] & 1 == 1 { unsafe (storage + index).deinitialize(count: 1) }
    unsafe storage.deallocate()
  }

  /// One past the highest place that was ever taken.
  public var upperBound: Int { generations.count }

  // What is asked for every packet is inlined where it is asked: unspecialised it cost as much as a look-up.

  @inlinable
  public func isTaken(_ index: Int) -> Bool { generations.indices.contains(index) && generations[index] & 1 == 1 }

  /// Whether this very tenant is still there.
  @inlinable
  public func isTaken(_ index: Int, generation: UInt32) -> Bool { isTaken(index) && generations[index] == generation }

  @inlinable
  public func generation(_ index: Int) -> UInt32 { generations[index] }

  /// The place and tenant's number that `insert` will give next.
  public var next: (index: Int, generation: UInt32) {
    if let reused = free.last { return (reused, generations[reused] &+ 1) }
    return (generations.count, 1)
  }

  public mutating func insert(_ element: consuming Element) -> (index: Int, generation: UInt32) {
    count += 1
    let index: Int
    if let reused = free.popLast() {
      index = reused
      generations[index] &+= 1
    } else {
      if generations.count == capacity { grow() }
      generations.append(1)
      index = generations.count - 1
    }
    unsafe (storage + index).initialize(to: element)
    return (index, generations[index])
  }

  private mutating func grow() {
    let larger = UnsafeMutablePointer<Element>.allocate(capacity: capacity * 2)
    for index in generations.indices where generations[index] & 1 == 1 {
      unsafe (larger + index).moveInitialize(from: storage + index, count: 1)
    }
    unsafe storage.deallocate()
    unsafe storage = larger
    capacity *= 2
  }

  /// The tenant of a place, which must be taken.
  @inlinable
  public subscript(index: Int) -> Element {
    _read {
      precondition(isTaken(index))
      yield unsafe storage[index]
    }
    _modify {
      precondition(isTaken(index))
      yield unsafe &storage[index]
    }
  }

  /// Takes the tenant out of its place, which must be taken.
  public mutating func remove(_ index: Int) -> Element {
    precondition(isTaken(index))
    count -= 1
    generations[index] &+= 1
    free.append(index)
    return unsafe (storage + index).move()
  }
}
