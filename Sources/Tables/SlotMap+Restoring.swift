extension SlotMap where Element: ~Copyable {
  /// The state that a restored map needs besides its elements: with it, stale handles of the old map find nothing in
  /// the new one.
  public struct Shape: Sendable, Equatable {
    /// One past the highest slot that was ever taken.
    public var upperBound: UInt32
    /// The highest generation of a slot.
    public var generation: UInt32

    public init(upperBound: UInt32 = 0, generation: UInt32 = 0) {
      self.upperBound = upperBound
      self.generation = generation
    }
  }

  /// Limit of the slots of a map that is restored.
  @inlinable public static var restorableSlots: UInt32 { 1 << 18 }

  /// The map's shape, for `init(restoring:)` in another process.
  public var shape: Shape {
    var highest: UInt32 = 0
    for index in 0..<used { highest = max(highest, unsafe header(index).pointee.generation) }
    return Shape(upperBound: upperBound, generation: highest)
  }

  /// A map of free slots, for `restore` and then `finishRestoring`; nil beyond the limit.
  public init?(restoring shape: Shape) {
    guard shape.upperBound <= Self.restorableSlots, shape.generation < .max - 1 else { return nil }
    self.init()
    while capacity < Int(shape.upperBound) { grow() }
    // Free slots have even generations.
    let generation = (shape.generation + 1) & ~1
    for index in 0..<Int(shape.upperBound) {
      unsafe header(index).initialize(to: Header(generation: generation, nextFree: .max))
    }
    used = Int(shape.upperBound)
  }

  /// Inserts an element under its old handle; false if the slot is taken or outside of the map's shape.
  public mutating func restore(_ new: consuming Element, at handle: Handle<Element>) -> Bool {
    let index = Int(handle.index)
    guard index < used, handle.generation & 1 == 1, unsafe header(index).pointee.generation & 1 == 0,
      handle.generation <= (unsafe header(index).pointee.generation) | 1
    else { return false }
    unsafe header(index).pointee.generation = handle.generation
    unsafe element(index).initialize(to: new)
    countOfTaken += 1
    return true
  }

  /// Makes the slots without an element free for `insert`, lowest first.
  public mutating func finishRestoring() {
    firstFree = .max
    for index in (0..<used).reversed() where unsafe header(index).pointee.generation & 1 == 0 {
      unsafe header(index).pointee.nextFree = firstFree
      firstFree = UInt32(truncatingIfNeeded: index)
    }
  }
}

extension RecordCoder {
  public mutating func code<Element: ~Copyable>(_ shape: inout SlotMap<Element>.Shape) throws(RecordError) {
    try code(&shape.upperBound)
    try code(&shape.generation)
  }
}
