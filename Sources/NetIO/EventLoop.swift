internal import CLinux
internal import NetworkTypes
public import System
public import Tables

/// Identifies a registered descriptor to its owner: a kind, and the handle of an element, so that a late event of a
/// closed descriptor does not reach a new element with the same number.
public struct EventToken: Hashable, Sendable, BitwiseCopyable {
  /// The kind of element, which selects the table.
  public let kind: UInt8
  /// The element's slot, below 2²⁴.
  public let index: UInt32
  /// The slot's generation.
  public let generation: UInt32

  @inlinable
  public init(kind: UInt8, index: UInt32 = 0, generation: UInt32 = 0) {
    self.kind = kind
    self.index = index & 0xFF_FFFF
    self.generation = generation
  }

  /// Names an element of a table of at most 2²⁴ slots.
  @inlinable
  public init<Element: ~Copyable>(kind: UInt8, _ handle: Handle<Element>) {
    self.init(kind: kind, index: handle.index, generation: handle.generation)
  }

  /// The handle of the token's element, in the table of `kind`.
  @inlinable
  public func handle<Element: ~Copyable>(of element: Element.Type) -> Handle<Element> {
    Handle(index: index, generation: generation)
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

/// Waits for descriptors with epoll, level-triggered. A loop belongs to one thread.
@safe
public struct EventLoop: ~Copyable {
  /// An event of a registered descriptor.
  public struct Event: Sendable, BitwiseCopyable {
    /// The token of the registration.
    public let token: EventToken
    /// Whether reading would not block.
    public let isReadable: Bool
    /// Whether writing would not block.
    public let isWritable: Bool
    /// The other side has closed, or the descriptor has an error.
    public let isFailed: Bool
  }

  private let descriptor: FileDescriptor
  /// A descriptor for another loop: readable while this one has events.
  public var rawValue: Int32 { descriptor.rawValue }
  // These `capacity` elements are owned by this value alone and freed in deinit.
  private let events: UnsafeMutablePointer<epoll_event>
  private let capacity = 256

  public init() throws(Errno) {
    descriptor = FileDescriptor(owning: try retrying { epoll_create1(Int32(EPOLL_CLOEXEC)) })
    unsafe events = .allocate(capacity: capacity)
    unsafe events.initialize(repeating: epoll_event(), count: capacity)
  }

  deinit { unsafe events.deallocate() }

  /// Begins to wait until a descriptor is readable, and with `writes` also until it is writable.
  public func add(_ descriptor: Int32, _ token: EventToken, writes: Bool = false) throws(Errno) {
    try control(EPOLL_CTL_ADD, descriptor, token, reads: true, writes: writes)
  }

  /// Changes the events of a registered descriptor.
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
    try retrying { unsafe epoll_ctl(self.descriptor.rawValue, operation, target, &event) }
  }

  /// Waits for events and returns their number.
  ///
  /// - Parameters:
  ///   - duration: the longest wait; nil: no limit.
  ///   - limit: the largest number of events; the next call returns the others.
  public func wait(for duration: Duration? = nil, limit: Int = .max) -> Int {
    // This runs in every turn: the usual values avoid the division.
    let milliseconds: Int32 = duration.map { $0 == .zero ? 0 : $0.milliseconds } ?? -1
    let count = unsafe epoll_wait(descriptor.rawValue, events, Int32(min(capacity, max(limit, 1))), milliseconds)
    if count >= 0 { return Int(count) }
    // EINTR: no events. Any other error (EBADF, EFAULT, EINVAL) is a bug of this program that no packet can cause; if
    // the program did not stop, the thread would spin.
    let error = Errno.current
    guard error == .interrupted else { fatalError("epoll_wait: \(error). This is a bug of this program.") }
    return 0
  }

  /// An event of the last wait; `index` is below its result.
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
