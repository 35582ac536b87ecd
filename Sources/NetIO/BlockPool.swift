internal import CLinux

/// Blocks of memory for bytes that wait, in four sizes: taken and given back many times a second without asking the
/// heap. A bounded number of free ones is kept, the last used on top, so that it is still in the cache.
@safe
public struct BlockPool: ~Copyable {
  /// The largest block: nobody keeps more waiting in one piece.
  public static let largest = 512 << 10
  static let sizes = [4 << 10, 16 << 10, 64 << 10, largest]
  /// How many free blocks of each size are kept.
  private static let kept = [64, 32, 8, 1]

  // Owned alone and freed in deinit; only blocks that `take` made come back. The first word of a free block points to
  // the next one.
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

  /// The smallest size that so many bytes fit into; nil beyond the largest.
  static func size(for byteCount: Int) -> Int? { sizes.firstIndex { $0 >= byteCount } }

  /// A block of a size, with whatever its last user left in it.
  mutating func take(_ size: Int) -> UnsafeMutableRawPointer {
    if let block = unsafe heads[size] {
      unsafe heads[size] = block.load(as: UnsafeMutableRawPointer?.self)
      counts[size] -= 1
      return unsafe block
    }
    // What may wait is bounded (connections, and bytes of each), so this is a kernel without memory, not a peer's doing;
    // every array of the language ends the program there as well.
    guard let block = unsafe malloc(Self.sizes[size]) else { fatalError("out of memory for what streams wait with") }
    return unsafe block
  }

  mutating func giveBack(_ block: UnsafeMutableRawPointer, _ size: Int) {
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

  /// Gives every free block back to the heap.
  public mutating func release() { self = BlockPool() }
}

/// Bytes that wait, first in, first out, in a block of a pool for exactly as long as there are any.
@safe
public struct PooledBytes: ~Copyable, Sendable {
  // Owned alone: given back to the pool when empty, or freed in deinit. `start + count` never exceeds its size.
  nonisolated(unsafe) private var block: UnsafeMutableRawPointer?
  private var size = 0
  private var start = 0
  public private(set) var count = 0

  public init() { unsafe block = nil }

  deinit { unsafe free(block) }

  public var isEmpty: Bool { count == 0 }

  public var bytes: RawSpan {
    @_lifetime(borrow self)
    get {
      let span = unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: block.map { unsafe $0 + start }, count: count))
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Appends; false, and nothing changed, where more would wait than the largest block holds.
  public mutating func append(_ bytes: RawSpan, _ pool: inout BlockPool) -> Bool {
    guard bytes.byteCount > 0 else { return true }
    guard let target = unsafe reserve(bytes.byteCount, &pool) else { return false }
    unsafe bytes.withUnsafeBytes { source in
      if let base = source.baseAddress { unsafe target.copyMemory(from: base, byteCount: source.count) }
    }
    count += bytes.byteCount
    return true
  }

  public mutating func append(zeros: Int, _ pool: inout BlockPool) -> Bool {
    guard zeros > 0 else { return true }
    guard let target = unsafe reserve(zeros, &pool) else { return false }
    unsafe target.initializeMemory(as: UInt8.self, repeating: 0, count: zeros)
    count += zeros
    return true
  }

  /// Room for so many more bytes behind the last one.
  private mutating func reserve(_ more: Int, _ pool: inout BlockPool) -> UnsafeMutableRawPointer? {
    if let block = unsafe block {
      let capacity = BlockPool.sizes[size]
      if start + count + more <= capacity { return unsafe block + start + count }
      if count + more <= capacity, start >= count {
        // The free room in front is as large as what moves: no byte moves often.
        unsafe block.copyMemory(from: block + start, byteCount: count)
        start = 0
        return unsafe block + count
      }
    }
    guard let needed = BlockPool.size(for: count + more) else { return nil }
    let larger = unsafe pool.take(needed)
    if let block = unsafe block {
      unsafe larger.copyMemory(from: block + start, byteCount: count)
      unsafe pool.giveBack(block, size)
    }
    unsafe block = larger
    size = needed
    start = 0
    return unsafe larger + count
  }

  /// Forgets the first `byteCount` bytes; the block goes back when none is left.
  public mutating func consume(_ byteCount: Int, _ pool: inout BlockPool) {
    let byteCount = min(max(byteCount, 0), count)
    start += byteCount
    count -= byteCount
    if count == 0 { removeAll(&pool) }
  }

  public mutating func removeAll(_ pool: inout BlockPool) {
    if let block = unsafe block { unsafe pool.giveBack(block, size) }
    unsafe block = nil
    start = 0
    count = 0
  }

  /// Moves bytes towards the front, over others that nobody needs any more.
  public mutating func move(_ range: Range<Int>, to offset: Int) {
    precondition(offset >= 0 && offset <= range.lowerBound && range.upperBound <= count)
    guard let block = unsafe block, offset < range.lowerBound else { return }
    unsafe memmove(block + start + offset, block + start + range.lowerBound, range.count)
  }

  /// Forgets all but the first `byteCount` bytes, of which there is one at least.
  public mutating func truncate(to byteCount: Int) {
    precondition(byteCount > 0 && byteCount <= count)
    count = byteCount
  }
}
