/// Bytes that wait between OpenSSL and the caller: appended at the end, consumed at the front. Lives in C memory, so
/// that OpenSSL's callbacks reach it through a pointer.
@unsafe
struct ByteQueue {
  private var base: UnsafeMutableRawPointer?
  private var capacity = 0
  private var start = 0
  private(set) var count = 0
  /// Appending beyond this many waiting bytes is refused.
  let limit: Int

  /// What an empty queue keeps for what comes next, so that media does not allocate. An idle connection's owner has it
  /// give all back.
  private static let keptCapacity = 64 << 10

  init(limit: Int) {
    unsafe self.limit = limit
  }

  func hasRoom(for size: Int) -> Bool { unsafe size <= limit - count }

  /// False, and nothing appended, where the limit would be passed.
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

  /// The queue is empty again: keeps the room that it needs from turn to turn.
  private mutating func settle() {
    unsafe start = 0
    if unsafe capacity > Self.keptCapacity { unsafe release(keeping: Self.keptCapacity) }
  }

  /// Gives memory beyond `kept` bytes back where nothing waits.
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
        // The free room in front is at least as large as what moves: no byte moves often.
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
