internal import CLinux

/// Blocks of memory for waiting bytes, in four sizes, reused many times a second without the heap. The pool keeps a
/// limited number of free blocks and reuses the last freed one first, because it is still in the cache.
@safe
public struct BlockPool: ~Copyable {
  /// The largest block in bytes, which is the limit of a queue.
  public static let largest = 512 << 10
  static let sizes = [4 << 10, 16 << 10, 64 << 10, largest]
  /// Limit of free blocks of each size.
  private static let kept = [64, 32, 8, 1]

  // The free blocks are owned by this value alone and freed in deinit; only blocks from `take` are returned. The first
  // word of a free block points to the next one.
  private var heads: InlineArray<4, UnsafeMutableRawPointer?> = unsafe InlineArray(repeating: nil)
  private var counts = InlineArray<4, Int>(repeating: 0)

  public init() {}

  deinit {
    for index in 0..<4 {
      var block = unsafe heads[index]
      while let current = unsafe block {
        unsafe block = current.load(as: UnsafeMutableRawPointer?.self)
        unsafe free(current)
      }
    }
  }

  /// The smallest size for `byteCount` bytes; nil beyond the largest.
  static func size(for byteCount: Int) -> Int? { sizes.firstIndex { $0 >= byteCount } }

  /// A block of a size, with the bytes of its last use; nil if the system has no memory.
  mutating func take(_ size: Int) -> UnsafeMutableRawPointer? {
    if let block = unsafe heads[size] {
      unsafe heads[size] = block.load(as: UnsafeMutableRawPointer?.self)
      counts[size] -= 1
      return unsafe block
    }
    return unsafe malloc(Self.sizes[size])
  }

  mutating func release(_ block: UnsafeMutableRawPointer, _ size: Int) {
    guard counts[size] < Self.kept[size] else {
      unsafe free(block)
      return
    }
    unsafe block.storeBytes(of: heads[size], as: UnsafeMutableRawPointer?.self)
    unsafe heads[size] = block
    counts[size] += 1
  }

  /// Bytes in free blocks.
  public var idleByteCount: Int {
    var sum = 0
    for index in 0..<4 { sum += counts[index] * Self.sizes[index] }
    return sum
  }

  /// Frees every unused block.
  public mutating func release() { self = BlockPool() }
}

/// A queue of bytes (first in, first out). It holds a block of the pool only while it is not empty.
@safe
public struct PooledBytes: ~Copyable, Sendable {
  // The block is owned by this value alone: it is returned to the pool when empty, or freed in deinit. `start + count`
  // never exceeds its size.
  nonisolated(unsafe) private var block: UnsafeMutableRawPointer?
  private var size = 0
  private var start = 0
  /// The number of bytes in the queue.
  public private(set) var count = 0

  public init() { unsafe block = nil }

  deinit { unsafe free(block) }

  /// Whether the queue has no byte.
  public var isEmpty: Bool { count == 0 }

  /// The size of the queue's block in bytes; 0 without a block.
  public var heldByteCount: Int { unsafe block == nil ? 0 : BlockPool.sizes[size] }

  /// The bytes in the queue, the oldest first.
  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get {
      let span = unsafe RawSpan(
        _unsafeBytes: UnsafeRawBufferPointer(start: block.map { unsafe $0 + start }, count: count))
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Appends bytes; false, with no change, if they do not fit into the largest block or the system has no memory.
  public mutating func append(_ bytes: RawSpan, _ pool: inout BlockPool) -> Bool {
    guard bytes.byteCount > 0 else { return true }
    guard let target = unsafe reserve(bytes.byteCount, &pool) else { return false }
    unsafe bytes.withUnsafeBytes { source in
      if let base = source.baseAddress { unsafe target.copyMemory(from: base, byteCount: source.count) }
    }
    count += bytes.byteCount
    return true
  }

  /// Appends zero bytes; false, with no change, if they do not fit into the largest block or the system has no memory.
  public mutating func append(zeros: Int, _ pool: inout BlockPool) -> Bool {
    guard zeros > 0 else { return true }
    guard let target = unsafe reserve(zeros, &pool) else { return false }
    unsafe target.initializeMemory(as: UInt8.self, repeating: 0, count: zeros)
    count += zeros
    return true
  }

  /// Makes room for `more` bytes after the last one.
  private mutating func reserve(_ more: Int, _ pool: inout BlockPool) -> UnsafeMutableRawPointer? {
    if let block = unsafe block {
      let capacity = BlockPool.sizes[size]
      if start + count + more <= capacity { return unsafe block + start + count }
      if count + more <= capacity, start >= count {
        // Bytes move only if the free space before them is at least as large, so no byte moves often.
        unsafe block.copyMemory(from: block + start, byteCount: count)
        start = 0
        return unsafe block + count
      }
    }
    guard let needed = BlockPool.size(for: count + more), let larger = unsafe pool.take(needed) else { return nil }
    if let block = unsafe block {
      unsafe larger.copyMemory(from: block + start, byteCount: count)
      unsafe pool.release(block, size)
    }
    unsafe block = larger
    size = needed
    start = 0
    return unsafe larger + count
  }

  /// Removes the first `byteCount` bytes; returns the block to the pool when none is left.
  public mutating func consume(_ byteCount: Int, _ pool: inout BlockPool) {
    let byteCount = min(max(byteCount, 0), count)
    start += byteCount
    count -= byteCount
    if count == 0 { removeAll(&pool) }
  }

  /// Removes every byte and returns the block to the pool.
  public mutating func removeAll(_ pool: inout BlockPool) {
    if let block = unsafe block { unsafe pool.release(block, size) }
    unsafe block = nil
    start = 0
    count = 0
  }

  /// Moves bytes towards the front, over bytes that are no longer needed.
  public mutating func move(_ range: Range<Int>, to offset: Int) {
    precondition(offset >= 0 && offset <= range.lowerBound && range.upperBound <= count)
    guard let block = unsafe block, offset < range.lowerBound else { return }
    unsafe memmove(block + start + offset, block + start + range.lowerBound, range.count)
  }

  /// Keeps the first `byteCount` bytes, at least one, and removes the others.
  public mutating func truncate(to byteCount: Int) {
    precondition(byteCount > 0 && byteCount <= count)
    count = byteCount
  }
}
