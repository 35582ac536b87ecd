internal import CLinux

/// What a registered descriptor is to its owner: a kind, a place, and which of the place's tenants is meant, so that
/// a late event cannot reach a stranger who got the same descriptor number.
public struct EventToken: Hashable, Sendable, BitwiseCopyable {
  public let kind: UInt8
  public let index: UInt32
  public let generation: UInt32

  @inlinable
  public init(kind: UInt8, index: UInt32 = 0, generation: UInt32 = 0) {
    self.kind = kind
    self.index = index & 0xFF_FFFF
    self.generation = generation
  }

  @inline(__always)
  init(bits: UInt64) {
    kind = UInt8(truncatingIfNeeded: bits >> 56)
    index = UInt32(truncatingIfNeeded: bits >> 32) & 0xFF_FFFF
    generation = UInt32(truncatingIfNeeded: bits)
  }

  @inline(__always)
  var bits: UInt64 { UInt64(kind) << 56 | UInt64(index) << 32 | UInt64(generation) }
}

/// Waits for descriptors with epoll, level-triggered. Belongs to one thread.
@safe
public struct EventLoop: ~Copyable {
  public struct Event: Sendable, BitwiseCopyable {
    public let token: EventToken
    public let isReadable: Bool
    public let isWritable: Bool
    /// The other side is gone, or the descriptor has an error to report.
    public let isFailed: Bool
  }

  private let descriptor: FileDescriptor
  /// What another loop can wait for: readable while this one has events.
  public var rawValue: Int32 { descriptor.rawValue }
  // Owned alone and freed in deinit; `capacity` elements.
  private let events: UnsafeMutablePointer<epoll_event>
  private let capacity = 256

  public init() throws(Errno) {
    descriptor = FileDescriptor(owning: try retrying32 { epoll_create1(Int32(EPOLL_CLOEXEC)) })
    unsafe events = .allocate(capacity: capacity)
    unsafe events.initialize(repeating: epoll_event(), count: capacity)
  }

  deinit { unsafe events.deallocate() }

  public func add(_ descriptor: Int32, _ token: EventToken, writes: Bool = false) throws(Errno) {
    try control(EPOLL_CTL_ADD, descriptor, token, reads: true, writes: writes)
  }

  public func modify(_ descriptor: Int32, _ token: EventToken, reads: Bool, writes: Bool) throws(Errno) {
    try control(EPOLL_CTL_MOD, descriptor, token, reads: reads, writes: writes)
  }

  /// Stops waiting for a descriptor that stays open.
  public func remove(_ descriptor: Int32) {
    _ = epoll_ctl(self.descriptor.rawValue, EPOLL_CTL_DEL, descriptor, nil)
  }

  private func control(
    _ operation: Int32, _ target: Int32, _ token: EventToken, reads: Bool, writes: Bool
  ) throws(Errno) {
    var event = unsafe epoll_event()
    unsafe event.events = (reads ? EPOLLIN.rawValue : 0) | (writes ? EPOLLOUT.rawValue : 0)
    unsafe event.data.u64 = token.bits
    try retrying32 { unsafe epoll_ctl(self.descriptor.rawValue, operation, target, &event) }
  }

  /// Waits for at most `milliseconds` (negative: for ever) and returns how many events there are.
  public func wait(milliseconds: Int32) -> Int {
    let count = unsafe epoll_wait(descriptor.rawValue, events, Int32(capacity), milliseconds)
    // A signal is no event; anything else would be a descriptor of ours that is none.
    return max(Int(count), 0)
  }

  @inline(__always)
  public func event(_ index: Int) -> Event {
    precondition(index >= 0 && index < capacity)
    let event = unsafe events[index]
    let bits = unsafe event.events
    return Event(
      token: EventToken(bits: unsafe event.data.u64), isReadable: bits & EPOLLIN.rawValue != 0,
      isWritable: bits & EPOLLOUT.rawValue != 0, isFailed: bits & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0)
  }
}
