/// Elements of one kind in one block of memory, named by slot. Inserting allocates nothing while there is room, and
/// finding an element changes no reference count.
///
/// ```
///   slot        0              1              2
///          ┌─────────┬────┬─────────┬────┬─────────┬────┐
///          │ gen  1  │ A  │ gen  4  │ -- │ gen  3  │ C  │    odd: taken, even: free
///          └─────────┴────┴─────────┴────┴─────────┴────┘
///   firstFree ────────────▶ 1
/// ```
///
/// The memory doubles when it is full and is freed with the map. The map's owner limits the number of elements.
@safe
public struct SlotMap<Element: ~Copyable>: ~Copyable {
  /// The header before each element.
  @usableFromInline
  struct Header: BitwiseCopyable {
    /// Odd while the slot is taken.
    @usableFromInline var generation: UInt32
    /// The next free slot; `.max` in the last one. Meaningless while the slot is taken.
    @usableFromInline var nextFree: UInt32

    @inlinable
    init(generation: UInt32, nextFree: UInt32) {
      self.generation = generation
      self.nextFree = nextFree
    }
  }

  // Owned by this value alone and freed in deinit. An element is initialised exactly while its generation is odd; every
  // access checks its index against `used`.
  @usableFromInline nonisolated(unsafe) var memory: UnsafeMutableRawPointer
  @usableFromInline var capacity: Int
  @usableFromInline var used = 0
  @usableFromInline var firstFree: UInt32 = .max
  @usableFromInline var countOfTaken = 0

  /// The number of elements.
  @inlinable public var count: Int { countOfTaken }

  @inlinable
  public init() {
    capacity = 16
    unsafe memory = Self.allocate(capacity)
  }

  @inlinable
  deinit {
    for index in 0..<used where (unsafe header(index).pointee.generation) & 1 == 1 {
      unsafe element(index).deinitialize(count: 1)
    }
    unsafe memory.deallocate()
  }

  // MARK: - Layout

  @inlinable static var lineByteCount: Int { 64 }

  /// The offset of an element after its header.
  @inlinable
  static var elementOffset: Int { max(MemoryLayout<Header>.size, MemoryLayout<Element>.alignment) }

  /// Large elements are aligned to cache lines, so that their first fields share one line.
  @inlinable
  static var stride: Int {
    let size = elementOffset + MemoryLayout<Element>.size
    let unit =
      size > lineByteCount ? lineByteCount : max(MemoryLayout<Header>.alignment, MemoryLayout<Element>.alignment)
    return (size + unit - 1) / unit * unit
  }

  @inlinable
  static func allocate(_ capacity: Int) -> UnsafeMutableRawPointer {
    .allocate(byteCount: capacity * stride, alignment: max(lineByteCount, MemoryLayout<Element>.alignment))
  }

  @inlinable @inline(__always)
  func header(_ index: Int) -> UnsafeMutablePointer<Header> {
    unsafe (memory + index * Self.stride).assumingMemoryBound(to: Header.self)
  }

  @inlinable @inline(__always)
  func element(_ index: Int) -> UnsafeMutablePointer<Element> {
    unsafe (memory + index * Self.stride + Self.elementOffset).assumingMemoryBound(to: Element.self)
  }

  // MARK: - Finding

  /// The element of a slot. The slot must be taken: a stale `Slot` is a bug of ours and traps.
  @inlinable
  public subscript(slot: Slot<Element>) -> Element {
    // Addressors, because a coroutine (`_read`, `_modify`) that is not inlined costs an allocation.
    @inline(__always) unsafeAddress {
      precondition(isTaken(slot))
      return unsafe UnsafePointer(element(Int(slot.index)))
    }
    @inline(__always) unsafeMutableAddress {
      precondition(isTaken(slot))
      return unsafe element(Int(slot.index))
    }
  }

  /// The address of a slot's element, for the subscripts of tables that contain this map. Valid until the next change
  /// of the map.
  @inlinable @inline(__always)
  package func address(of slot: Slot<Element>) -> UnsafeMutablePointer<Element> {
    precondition(isTaken(slot))
    return unsafe element(Int(slot.index))
  }

  /// Whether the slot has an element.
  @inlinable @inline(__always)
  public func isTaken(_ slot: Slot<Element>) -> Bool {
    Int(slot.index) < used && (unsafe header(Int(slot.index)).pointee.generation) & 1 == 1
  }

  /// The slot that a handle names; nil if its element has been removed.
  @inlinable @inline(__always)
  public func slot(of handle: Handle<Element>) -> Slot<Element>? {
    let index = Int(handle.index)
    guard index < used, handle.generation & 1 == 1, unsafe header(index).pointee.generation == handle.generation else {
      return nil
    }
    return Slot(index: handle.index)
  }

  /// The handle of a slot's element.
  @inlinable @inline(__always)
  public func handle(of slot: Slot<Element>) -> Handle<Element> {
    precondition(isTaken(slot))
    return Handle(index: slot.index, generation: unsafe header(Int(slot.index)).pointee.generation)
  }

  /// The handle that the next `insert` gives.
  @inlinable
  public var next: Handle<Element> {
    guard firstFree != .max else { return Handle(index: UInt32(truncatingIfNeeded: used), generation: 1) }
    return Handle(index: firstFree, generation: unsafe header(Int(firstFree)).pointee.generation &+ 1)
  }

  /// One past the highest slot that was ever taken.
  @inlinable
  public var upperBound: UInt32 { UInt32(truncatingIfNeeded: used) }

  /// The next element of a walk over all elements; nil at the end. Elements may be removed meanwhile; the walk skips
  /// them.
  ///
  ///     var walk = SlotWalk<Element>()
  ///     while let slot = map.next(&walk) { ... }
  @inlinable
  public func next(_ walk: inout SlotWalk<Element>) -> Slot<Element>? {
    while Int(walk.index) < used {
      let slot = Slot<Element>(index: walk.index)
      walk.index += 1
      if isTaken(slot) { return slot }
    }
    return nil
  }

  // MARK: - Changing

  /// Inserts an element.
  @inlinable
  @discardableResult
  public mutating func insert(_ new: consuming Element) -> Slot<Element> {
    countOfTaken += 1
    if firstFree != .max {
      let index = Int(firstFree)
      firstFree = unsafe header(index).pointee.nextFree
      unsafe header(index).pointee.generation &+= 1
      unsafe element(index).initialize(to: new)
      return Slot(index: UInt32(truncatingIfNeeded: index))
    }
    if used == capacity { grow() }
    unsafe header(used).initialize(to: Header(generation: 1, nextFree: .max))
    unsafe element(used).initialize(to: new)
    used += 1
    return Slot(index: UInt32(truncatingIfNeeded: used - 1))
  }

  @inlinable @inline(never)
  mutating func grow() {
    let larger = unsafe Self.allocate(capacity * 2)
    let old = unsafe memory
    for index in 0..<used {
      let offset = index * Self.stride
      let from = unsafe header(index)
      unsafe (larger + offset).initializeMemory(as: Header.self, to: from.pointee)
      guard unsafe from.pointee.generation & 1 == 1 else { continue }
      unsafe (larger + offset + Self.elementOffset).moveInitializeMemory(
        as: Element.self, from: element(index), count: 1)
    }
    unsafe old.deallocate()
    unsafe memory = larger
    capacity *= 2
  }

  /// Removes the element of a slot, which must be taken.
  @inlinable
  @discardableResult
  public mutating func remove(_ slot: Slot<Element>) -> Element {
    precondition(isTaken(slot))
    let index = Int(slot.index)
    unsafe header(index).pointee.generation &+= 1
    unsafe header(index).pointee.nextFree = firstFree
    firstFree = slot.index
    countOfTaken -= 1
    return unsafe element(index).move()
  }
}

/// The position of a walk over all elements of a `SlotMap`.
@frozen
public struct SlotWalk<Element: ~Copyable>: BitwiseCopyable, Sendable {
  @usableFromInline var index: UInt32

  /// - Parameter index: the first slot of the walk.
  @inlinable
  public init(from index: UInt32 = 0) { self.index = index }

  /// The slot at which the walk continues.
  @inlinable public var position: UInt32 { index }
}
