/// A queue of bytes between OpenSSL and the caller. It lives in C memory, so that OpenSSL's callbacks can reach it
/// through a pointer.
@unsafe
struct ByteQueue {
  private var base: UnsafeMutableRawPointer?
  private var capacity = 0
  private var start = 0
  private(set) var count = 0
  /// Appending beyond this many waiting bytes is refused.
  let limit: Int

  /// The capacity that an empty queue keeps, so that media does not allocate. The owner of an idle connection releases
  /// all of it.
  private static let keptCapacity = 64 << 10

  init(limit: Int) {
    unsafe self.limit = limit
  }

  func hasRoom(for size: Int) -> Bool { unsafe size <= limit - count }

  /// Appends bytes. False, with no change, beyond the limit.
  mutating func append(_ source: UnsafeRawPointer, _ size: Int) -> Bool {
    guard size > 0 else { return true }
    guard unsafe hasRoom(for: size), let tail = unsafe reserve(size) else { return false }
    unsafe tail.copyMemory(from: source, byteCount: size)
    unsafe count += size
    return true
  }

  /// The waiting bytes, valid until the queue is changed.
  var bytes: UnsafeRawBufferPointer {
    guard let base = unsafe base else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
    return unsafe UnsafeRawBufferPointer(start: base + start, count: count)
  }

  mutating func consume(_ size: Int) {
    let size = unsafe min(max(size, 0), count)
    unsafe start += size
    unsafe count -= size
    if unsafe count == 0 { unsafe settle() }
  }

  /// Resets the empty queue and keeps the capacity for the next turn.
  private mutating func settle() {
    unsafe start = 0
    if unsafe capacity > Self.keptCapacity { unsafe release(keeping: Self.keptCapacity) }
  }

  /// Releases memory beyond `kept` bytes if the queue is empty.
  mutating func release(keeping kept: Int) {
    guard unsafe count == 0 else { return }
    unsafe start = 0
    guard unsafe capacity > kept else { return }
    unsafe base?.deallocate()
    unsafe base = nil
    unsafe capacity = 0
  }

  mutating func destroy() {
    unsafe base?.deallocate()
    unsafe base = nil
    unsafe capacity = 0
    unsafe start = 0
    unsafe count = 0
  }

  private mutating func reserve(_ size: Int) -> UnsafeMutableRawPointer? {
    if let base = unsafe base {
      if unsafe start + count + size <= capacity { return unsafe base + start + count }
      if unsafe count + size <= capacity, unsafe start >= count {
        // Bytes move only if the free space before them is at least as large, so no byte moves often.
        unsafe base.copyMemory(from: base + start, byteCount: count)
        unsafe start = 0
        return unsafe base + count
      }
    }
    let needed = unsafe max(count + size, capacity * 2, 1024)
    let grown = UnsafeMutableRawPointer.allocate(byteCount: needed, alignment: 16)
    if let base = unsafe base {
      unsafe grown.copyMemory(from: base + start, byteCount: count)
      unsafe base.deallocate()
    }
    unsafe base = grown
    unsafe capacity = needed
    unsafe start = 0
    return unsafe grown + count
  }
}
