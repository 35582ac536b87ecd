// The only place where bytes of a datagram become numbers. The loads below check their bounds: an offset out of range
// is a failed precondition, never a read outside the buffer. Parsers check lengths before they load, so the check here
// only catches their bugs.

extension RawSpan {
  @inlinable @inline(__always)
  public func byte(at offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < byteCount)
    // Sound: the offset was just checked.
    return unsafe unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt8.self)
  }

  @inlinable @inline(__always)
  public func bigEndian16(at offset: Int) -> UInt16 {
    precondition(offset >= 0 && offset &+ 2 <= byteCount)
    return unsafe UInt16(bigEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt16.self))
  }

  @inlinable @inline(__always)
  public func bigEndian32(at offset: Int) -> UInt32 {
    precondition(offset >= 0 && offset &+ 4 <= byteCount)
    return unsafe UInt32(bigEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt32.self))
  }

  @inlinable @inline(__always)
  public func bigEndian64(at offset: Int) -> UInt64 {
    precondition(offset >= 0 && offset &+ 8 <= byteCount)
    return unsafe UInt64(bigEndian: unsafeLoadUnaligned(fromUncheckedByteOffset: offset, as: UInt64.self))
  }

  /// The bytes as an array: for values of the control path that outlive the datagram.
  public func copied() -> [UInt8] {
    unsafe withUnsafeBytes { unsafe [UInt8]($0) }
  }

  public func isEqual(to other: RawSpan) -> Bool {
    guard byteCount == other.byteCount else { return false }
    for index in 0..<byteCount where byte(at: index) != other.byte(at: index) { return false }
    return true
  }

  public func isEqual(to other: [UInt8]) -> Bool { isEqual(to: other.span.rawBytes) }
}

extension Span where Element == UInt8 {
  /// The same bytes without their type.
  @inlinable
  public var rawBytes: RawSpan {
    @_lifetime(copy self)
    get {
      // Sound: UInt8 has no padding and no invalid bit patterns.
      unsafe bytes
    }
  }
}

/// A byte buffer of fixed capacity. A message is written into it from front to back, and the next one reuses it:
/// writing allocates nothing.
///
/// Writes beyond the capacity are dropped and remembered in `isOverflown`, so that a sequence of writes is checked once
/// at its end.
@safe
public struct ByteBuffer: ~Copyable, Sendable {
  // Owned by this value alone and freed in deinit; every access below is bounds-checked against `capacity` or `count`.
  // The pointer moves between threads only with the noncopyable value itself.
  @usableFromInline nonisolated(unsafe) let base: UnsafeMutableRawPointer
  public let capacity: Int
  public private(set) var count = 0
  public private(set) var isOverflown = false

  public init(capacity: Int) {
    self.capacity = max(capacity, 1)
    unsafe base = .allocate(byteCount: self.capacity, alignment: 16)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: self.capacity)
  }

  deinit { unsafe base.deallocate() }

  /// The written bytes.
  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get { unsafe _overrideLifetime(RawSpan(_unsafeStart: base, byteCount: count), borrowing: self) }
  }

  public mutating func removeAll() {
    count = 0
    isOverflown = false
  }

  /// Removes all but the first `newCount` bytes.
  public mutating func truncate(to newCount: Int) {
    if newCount >= 0, newCount < count { count = newCount }
  }

  private mutating func reserve(_ size: Int) -> Int? {
    guard size <= capacity - count else {
      isOverflown = true
      return nil
    }
    defer { count += size }
    return count
  }

  public mutating func append(_ value: UInt8) {
    guard let offset = reserve(1) else { return }
    unsafe base.storeBytes(of: value, toByteOffset: offset, as: UInt8.self)
  }

  public mutating func append(bigEndian value: UInt16) {
    guard let offset = reserve(2) else { return }
    unsafe base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }

  public mutating func append(bigEndian value: UInt32) {
    guard let offset = reserve(4) else { return }
    unsafe base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
  }

  public mutating func append(bigEndian value: UInt64) {
    guard let offset = reserve(8) else { return }
    unsafe base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt64.self)
  }

  public mutating func append(_ span: RawSpan) {
    guard span.byteCount > 0, let offset = reserve(span.byteCount) else { return }
    unsafe span.withUnsafeBytes { source in
      // Sound: a source's base address is nil only when it is empty, which returned above.
      if let start = source.baseAddress { unsafe (base + offset).copyMemory(from: start, byteCount: source.count) }
    }
  }

  public mutating func append(_ array: [UInt8]) { append(array.span.rawBytes) }

  public mutating func append(utf8 text: String) {
    for byte in text.utf8 { append(byte) }
  }

  public mutating func append(zeros size: Int) {
    guard size > 0, let offset = reserve(size) else { return }
    unsafe (base + offset).initializeMemory(as: UInt8.self, repeating: 0, count: size)
  }

  /// Overwrites two written bytes; ignored beyond the written bytes.
  public mutating func replace(bigEndian value: UInt16, at offset: Int) {
    guard offset >= 0, offset + 2 <= count else { return }
    unsafe base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
  }

  /// Overwrites written bytes; ignored beyond the written bytes.
  public mutating func replace(_ span: RawSpan, at offset: Int) {
    guard offset >= 0, span.byteCount > 0, offset + span.byteCount <= count else { return }
    unsafe span.withUnsafeBytes { source in
      if let start = source.baseAddress { unsafe (base + offset).copyMemory(from: start, byteCount: source.count) }
    }
  }
}
