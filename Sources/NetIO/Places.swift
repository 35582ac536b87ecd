/// Values that own something, each in a numbered place: what `Slab` is for plain records. A place remembers how many
/// tenants it has had, so that a late event for one cannot reach the next.
@safe
public struct Places<Element: ~Copyable>: ~Copyable {
  private struct Place: ~Copyable {
    var element: Element?
    var generation: UInt32
  }

  // Owned alone and freed in deinit; `used` places are initialised, every access is checked against that.
  nonisolated(unsafe) private var storage: UnsafeMutablePointer<Place>
  private var capacity = 16
  private var used = 0
  private var free: [Int] = []
  public private(set) var count = 0

  public init() { unsafe storage = .allocate(capacity: capacity) }

  deinit {
    unsafe storage.deinitialize(count: used)
    unsafe storage.deallocate()
  }

  /// One past the highest place that was ever taken.
  public var upperBound: Int { used }

  public mutating func insert(_ element: consuming Element) -> (index: Int, generation: UInt32) {
    count += 1
    if let index = free.popLast() {
      let generation = unsafe storage[index].generation &+ 1
      unsafe storage[index].generation = generation
      unsafe storage[index].element = consume element
      return (index, generation)
    }
    if used == capacity {
      let larger = UnsafeMutablePointer<Place>.allocate(capacity: capacity * 2)
      unsafe larger.moveInitialize(from: storage, count: used)
      unsafe storage.deallocate()
      unsafe storage = larger
      capacity *= 2
    }
    unsafe (storage + used).initialize(to: Place(element: consume element, generation: 1))
    used += 1
    return (used - 1, 1)
  }

  /// Puts an element into a place of the caller's choosing, growing as needed; for places that another table numbers.
  public mutating func put(_ element: consuming Element, at index: Int, generation: UInt32) {
    while index >= used {
      if used == capacity {
        let larger = UnsafeMutablePointer<Place>.allocate(capacity: capacity * 2)
        unsafe larger.moveInitialize(from: storage, count: used)
        unsafe storage.deallocate()
        unsafe storage = larger
        capacity *= 2
      }
      unsafe (storage + used).initialize(to: Place(element: nil, generation: 0))
      used += 1
    }
    if !isTaken(index) { count += 1 }
    unsafe storage[index].element = consume element
    unsafe storage[index].generation = generation
  }

  public func isTaken(_ index: Int) -> Bool {
    guard index >= 0, index < used else { return false }
    switch unsafe storage[index].element {
    case .some: return true
    case .none: return false
    }
  }

  public func generation(_ index: Int) -> UInt32 {
    guard index >= 0, index < used else { return 0 }
    return unsafe storage[index].generation
  }

  /// Calls `body` with the element of a place, if that tenant is still there; nil otherwise.
  @inline(__always)
  public mutating func with<Result>(
    _ index: Int, _ generation: UInt32, _ body: (inout Element) -> Result
  ) -> Result? {
    guard index >= 0, index < used, unsafe storage[index].generation == generation else { return nil }
    return unsafe modify(&storage[index].element, body)
  }

  @inline(__always)
  private mutating func modify<Result>(_ element: inout Element?, _ body: (inout Element) -> Result) -> Result? {
    guard var taken = element.take() else { return nil }
    let result = body(&taken)
    element = consume taken
    return result
  }

  /// Takes an element out of its place. The place may have a new tenant from then on.
  public mutating func remove(_ index: Int, _ generation: UInt32) -> Element? {
    guard index >= 0, index < used, unsafe storage[index].generation == generation, isTaken(index) else { return nil }
    count -= 1
    free.append(index)
    return unsafe storage[index].element.take()
  }
}
