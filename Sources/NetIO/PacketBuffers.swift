internal import CLinux
internal import NetworkTypes

/// The receive slots for datagrams, in one block of memory. Each has headroom before the datagram, so that a header can
/// be added without moving the datagram, and room for padding after it.
///
/// ```
///  | 256 bytes headroom | datagram, up to 66,560 bytes | 256 bytes tail |
/// ```
///
/// Only the pages that datagrams use become resident. The distance of slots is no multiple of 4 KiB, so that their
/// headers do not share the same cache sets.
@safe
public struct PacketBuffers: ~Copyable, Sendable {
  /// Bytes before a slot's datagram.
  public static let headroom = 256
  /// Room for the largest message of a stream (65,556 bytes) and for every datagram.
  public static let capacity = 66_560
  static let tail = 256
  static let stride = headroom + capacity + tail

  /// The number of slots.
  public let slotCount: Int
  // The memory is owned by this value alone and freed in deinit; every access checks slot and range.
  nonisolated(unsafe) let base: UnsafeMutableRawPointer

  public init(slotCount: Int) {
    self.slotCount = slotCount
    // calloc returns fresh pages without writing to them. This runs once for each shard, before any packet, and a
    // server without buffers cannot start.
    guard let memory = unsafe calloc(slotCount, Self.stride) else { fatalError("out of memory for packet buffers") }
    unsafe base = memory
  }

  deinit { unsafe free(base) }

  @inline(__always)
  func start(of slot: Int) -> UnsafeMutableRawPointer {
    precondition(slot >= 0 && slot < slotCount)
    return unsafe base + (slot &* Self.stride &+ Self.headroom)
  }

  /// Bytes of a slot; `range` counts from the datagram's first byte and may begin in the headroom.
  @inline(__always)
  @_lifetime(borrow self)
  public func bytes(_ slot: Int, _ range: Range<Int>) -> RawSpan {
    precondition(range.lowerBound >= -Self.headroom && range.upperBound <= Self.capacity + Self.tail)
    let span = unsafe RawSpan(_unsafeStart: start(of: slot) + range.lowerBound, byteCount: range.count)
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// Writable bytes of a slot, without the headroom and the tail.
  @_lifetime(&self)
  public mutating func mutableBytes(_ slot: Int, _ range: Range<Int>) -> MutableRawSpan {
    precondition(range.lowerBound >= 0 && range.upperBound <= Self.capacity)
    let span = unsafe MutableRawSpan(_unsafeStart: start(of: slot) + range.lowerBound, byteCount: range.count)
    return unsafe _overrideLifetime(span, mutating: &self)
  }

  /// Copies bytes into a slot at `offset`; the caller ensures that they fit.
  @inline(__always)
  public mutating func copy(_ bytes: RawSpan, into slot: Int, at offset: Int) {
    precondition(offset >= 0 && offset + bytes.byteCount <= Self.capacity)
    let start = unsafe start(of: slot) + offset
    unsafe bytes.withUnsafeBytes { source in
      if let from = source.baseAddress { unsafe start.copyMemory(from: from, byteCount: source.count) }
    }
  }

  /// Writes `prefix` directly before a part of a slot and `padding` zero bytes after it, and returns the range of all
  /// three.
  @inline(__always)
  public mutating func frame(_ slot: Int, _ range: Range<Int>, prefix: RawSpan, padding: Int) -> Range<Int> {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= Self.capacity && prefix.byteCount <= Self.headroom
        && padding <= Self.tail)
    let start = unsafe start(of: slot) + range.lowerBound
    let count = range.count
    unsafe prefix.withUnsafeBytes { source in
      if let from = source.baseAddress {
        unsafe (start - source.count).copyMemory(from: from, byteCount: source.count)
      }
    }
    for index in 0..<max(padding, 0) { unsafe start.storeBytes(of: 0, toByteOffset: count + index, as: UInt8.self) }
    return (range.lowerBound - prefix.byteCount)..<(range.upperBound + max(padding, 0))
  }

  /// Writes `prefix`, a part of one slot and `padding` zero bytes to the start of another slot, and returns the number
  /// of bytes.
  public mutating func assemble(
    in target: Int, prefix: RawSpan, slot: Int, _ range: Range<Int>, padding: Int
  ) -> Int {
    precondition(range.lowerBound >= 0 && range.upperBound <= Self.capacity)
    precondition(padding >= 0 && prefix.byteCount + range.count + padding <= Self.capacity + Self.tail)
    copy(prefix, into: target, at: 0)
    let end = unsafe start(of: target) + prefix.byteCount
    unsafe end.copyMemory(from: start(of: slot) + range.lowerBound, byteCount: range.count)
    for index in 0..<padding { unsafe end.storeBytes(of: 0, toByteOffset: range.count + index, as: UInt8.self) }
    return prefix.byteCount + range.count + padding
  }
}
