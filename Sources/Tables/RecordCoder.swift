/// Writes the records of a handover, or reads them. One function for each kind of record does both, so that writer and
/// reader cannot differ.
///
/// ```
///  +--------------+--------------------------+-----------------+
///  | kind (8 bit) | length in bytes (32 bit) | fields          |   integers are little-endian
///  +--------------+--------------------------+-----------------+
/// ```
///
/// A later version may append fields to a record: this version skips fields that it does not know. Malformed bytes
/// throw an error with their offset and never trap.
///
/// Its functions are inlinable, so that other modules specialize them: otherwise each byte takes several indirect
/// calls, while no process reads the sockets.
public struct RecordCoder: Sendable {
  @usableFromInline var storage: [UInt8]
  @usableFromInline let reads: Bool
  @usableFromInline var position = 0
  /// The end of the record that is read.
  @usableFromInline var limit = 0
  /// The beginning of the record that is written.
  @usableFromInline var start = 0

  /// The records that have been written, or that are read.
  @inlinable public var bytes: [UInt8] { storage }

  @inlinable public var isReading: Bool { reads }

  /// Limit of the bytes of one text or list of bytes.
  @inlinable public static var longestBytes: Int { 1 << 20 }
  @usableFromInline static var headByteCount: Int { 5 }

  /// Begins to write.
  public init() {
    storage = []
    reads = false
  }

  /// Begins to read.
  public init(reading bytes: [UInt8]) {
    storage = bytes
    reads = true
  }

  /// An error of the read bytes at the present offset.
  @inlinable public func failure(_ problem: StaticString) -> RecordError {
    RecordError(problem: problem, offset: position)
  }

  // MARK: - Records

  /// Begins to write a record.
  @inlinable public mutating func begin(_ kind: UInt8) {
    start = storage.count
    storage += [kind, 0, 0, 0, 0]
  }

  /// The kind of the next record, which is read until `end`; nil after the last one.
  @inlinable public mutating func next() throws(RecordError) -> UInt8? {
    guard position < storage.count else { return nil }
    guard storage.count - position >= Self.headByteCount else { throw failure("a record has no length") }
    let kind = storage[position]
    var length = 0
    for index in 0..<4 { length |= Int(storage[position + 1 + index]) << (8 * index) }
    guard length <= storage.count - position - Self.headByteCount else { throw failure("a record is cut off") }
    position += Self.headByteCount
    limit = position + length
    return kind
  }

  /// Ends the record that is written or read.
  @inlinable public mutating func end() {
    if isReading {
      position = limit
    } else {
      let length = storage.count - start - Self.headByteCount
      for index in 0..<4 { storage[start + 1 + index] = UInt8(truncatingIfNeeded: length >> (8 * index)) }
    }
  }

  /// Whether the record that is read has more fields.
  @inlinable public var hasMore: Bool { position < limit }

  // MARK: - Fields

  @inlinable public mutating func code<Value: FixedWidthInteger>(_ value: inout Value) throws(RecordError) {
    let count = Value.bitWidth / 8
    guard isReading else {
      for index in 0..<count { storage.append(UInt8(truncatingIfNeeded: value >> Value(8 * index))) }
      return
    }
    guard limit - position >= count else { throw failure("a record is too short") }
    var read: Value = 0
    for index in 0..<count { read |= Value(truncatingIfNeeded: storage[position + index]) << Value(8 * index) }
    position += count
    value = read
  }

  @inlinable public mutating func code(_ value: inout Bool) throws(RecordError) {
    var byte: UInt8 = value ? 1 : 0
    try code(&byte)
    guard byte <= 1 else { throw failure("a flag is neither 0 nor 1") }
    value = byte == 1
  }

  @inlinable public mutating func code<Value: RawRepresentable>(
    _ value: inout Value
  ) throws(RecordError) where Value.RawValue: FixedWidthInteger {
    var raw = value.rawValue
    try code(&raw)
    guard isReading else { return }
    guard let read = Value(rawValue: raw) else { throw failure("a number is no value of its type") }
    value = read
  }

  /// Codes up to `longestBytes` bytes.
  @inlinable public mutating func code(_ value: inout [UInt8]) throws(RecordError) {
    var count = UInt32(truncatingIfNeeded: value.count)
    try code(&count)
    guard isReading else {
      storage += value
      return
    }
    guard count <= Self.longestBytes, Int(count) <= limit - position else { throw failure("bytes are cut off") }
    value = Array(storage[position..<(position + Int(count))])
    position += Int(count)
  }

  /// Codes the number of elements of a list, each of at least `byteCount` bytes.
  @inlinable public mutating func code(count: inout Int, atLeast byteCount: Int = 1) throws(RecordError) {
    var number = UInt32(truncatingIfNeeded: count)
    try code(&number)
    guard isReading else { return }
    guard Int(number) <= (limit - position) / max(byteCount, 1) else { throw failure("a list is cut off") }
    count = Int(number)
  }

  /// Codes a value or none.
  ///
  /// - Parameter empty: the value before it is read.
  @inlinable public mutating func code<Value>(
    _ value: inout Value?, _ empty: @autoclosure () -> Value,
    _ body: (inout RecordCoder, inout Value) throws(RecordError) -> Void
  ) throws(RecordError) {
    var isThere = value != nil
    try code(&isThere)
    guard isThere else { return value = nil }
    var inner = value ?? empty()
    try body(&self, &inner)
    value = inner
  }

  @inlinable public mutating func code<Value: FixedWidthInteger>(_ value: inout Value?) throws(RecordError) {
    try code(&value, 0) { coder, inner throws(RecordError) in try coder.code(&inner) }
  }

  /// Codes the handle of an element; `SlotMap.restore` checks its slot.
  @inlinable public mutating func code<Element: ~Copyable>(_ handle: inout Handle<Element>) throws(RecordError) {
    var (index, generation) = (handle.index, handle.generation)
    try code(&index)
    try code(&generation)
    if isReading { handle = Handle(index: index, generation: generation) }
  }

  @inlinable public mutating func code<Element: ~Copyable>(_ handle: inout OptionalHandle<Element>) throws(RecordError)
  {
    try code(&handle.index)
    try code(&handle.generation)
    // Normalizes none to one form, because equality compares both words.
    if isReading { handle = OptionalHandle(handle.handle) }
  }
}

/// Records of a handover that cannot be read.
public struct RecordError: Error, Sendable, Equatable, CustomStringConvertible {
  public var problem: String
  /// The byte at which reading ended.
  public var offset: Int

  public init(problem: StaticString, offset: Int) {
    self.problem = "\(problem)"
    self.offset = offset
  }

  public var description: String { "\(problem) (at byte \(offset))" }
}
