/// Writes the records of a handover, or reads them. One function for each kind of record does both, so that writer and
/// reader cannot differ.
///
/// ```
///  +--------------+-------------------------+-----------------+
///  | kind (8 bit) | length in bytes (32 bit) | fields          |   integers are little-endian
///  +--------------+-------------------------+-----------------+
/// ```
///
/// A later version may append fields to a record: this one skips what it does not know. Bytes that no writer makes are
/// an error with its place, never a trap.
public struct RecordCoder: Sendable {
  /// The records so far, or those that are read.
  public private(set) var bytes: [UInt8]
  public let isReading: Bool
  private var position = 0
  /// The end of the record that is read.
  private var limit = 0
  /// The beginning of the record that is written.
  private var start = 0

  /// Limit of the bytes of one text or list of bytes.
  public static let longestBytes = 1 << 20
  private static let headByteCount = 5

  /// Begins to write.
  public init() {
    bytes = []
    isReading = false
  }

  /// Begins to read.
  public init(reading bytes: [UInt8]) {
    self.bytes = bytes
    isReading = true
  }

  /// An error of the read bytes at the present place.
  public func failure(_ problem: StaticString) -> RecordError { RecordError(problem: problem, offset: position) }

  // MARK: - Records

  /// Begins to write a record.
  public mutating func begin(_ kind: UInt8) {
    start = bytes.count
    bytes += [kind, 0, 0, 0, 0]
  }

  /// The kind of the next record, which is read until `end`; nil after the last one.
  public mutating func next() throws(RecordError) -> UInt8? {
    guard position < bytes.count else { return nil }
    guard bytes.count - position >= Self.headByteCount else { throw failure("a record has no length") }
    let kind = bytes[position]
    var length = 0
    for index in 0..<4 { length |= Int(bytes[position + 1 + index]) << (8 * index) }
    guard length <= bytes.count - position - Self.headByteCount else { throw failure("a record is cut off") }
    position += Self.headByteCount
    limit = position + length
    return kind
  }

  /// Ends the record that is written or read.
  public mutating func end() {
    if isReading {
      position = limit
    } else {
      let length = bytes.count - start - Self.headByteCount
      for index in 0..<4 { bytes[start + 1 + index] = UInt8(truncatingIfNeeded: length >> (8 * index)) }
    }
  }

  /// Whether the record that is read has more fields.
  public var hasMore: Bool { position < limit }

  // MARK: - Fields

  public mutating func code<Value: FixedWidthInteger>(_ value: inout Value) throws(RecordError) {
    let count = Value.bitWidth / 8
    guard isReading else {
      for index in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> Value(8 * index))) }
      return
    }
    guard limit - position >= count else { throw failure("a record is too short") }
    var read: Value = 0
    for index in 0..<count { read |= Value(truncatingIfNeeded: bytes[position + index]) << Value(8 * index) }
    position += count
    value = read
  }

  public mutating func code(_ value: inout Bool) throws(RecordError) {
    var byte: UInt8 = value ? 1 : 0
    try code(&byte)
    guard byte <= 1 else { throw failure("a flag is neither 0 nor 1") }
    value = byte == 1
  }

  public mutating func code<Value: RawRepresentable>(
    _ value: inout Value
  ) throws(RecordError) where Value.RawValue: FixedWidthInteger {
    var raw = value.rawValue
    try code(&raw)
    guard isReading else { return }
    guard let read = Value(rawValue: raw) else { throw failure("a number means nothing") }
    value = read
  }

  /// Up to `longestBytes` bytes.
  public mutating func code(_ value: inout [UInt8]) throws(RecordError) {
    var count = UInt32(truncatingIfNeeded: value.count)
    try code(&count)
    guard isReading else {
      bytes += value
      return
    }
    guard count <= Self.longestBytes, Int(count) <= limit - position else { throw failure("bytes are cut off") }
    value = Array(bytes[position..<(position + Int(count))])
    position += Int(count)
  }

  /// The number of elements of a list, each of at least `byteCount` bytes.
  public mutating func code(count: inout Int, atLeast byteCount: Int = 1) throws(RecordError) {
    var number = UInt32(truncatingIfNeeded: count)
    try code(&number)
    guard isReading else { return }
    guard Int(number) <= (limit - position) / max(byteCount, 1) else { throw failure("a list is cut off") }
    count = Int(number)
  }

  /// A value or none.
  ///
  /// - Parameter empty: a value to read into.
  public mutating func code<Value>(
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

  public mutating func code<Value: FixedWidthInteger>(_ value: inout Value?) throws(RecordError) {
    try code(&value, 0) { coder, inner throws(RecordError) in try coder.code(&inner) }
  }

  /// The handle of an element; its slot is below `SlotMap.restorableSlots`.
  public mutating func code<Element: ~Copyable>(_ handle: inout Handle<Element>) throws(RecordError) {
    var (index, generation) = (handle.index, handle.generation)
    try code(&index)
    try code(&generation)
    if isReading { handle = Handle(index: index, generation: generation) }
  }

  public mutating func code<Element: ~Copyable>(_ handle: inout OptionalHandle<Element>) throws(RecordError) {
    try code(&handle.index)
    try code(&handle.generation)
    // One form of none: equality compares both words.
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
