internal import CLinux
public import NetworkTypes

/// Wakes an event loop at an instant (timerfd_create(2)).
///
/// Where each wait had a time limit of its own, the kernel would set and clear a timer with every packet, though what
/// is due next rarely changes. This one is set when something is due earlier than what it is set for, and else left
/// alone: it may ring early, once, for a deadline that has been put off meanwhile.
@safe
public struct Alarm: ~Copyable {
  private let descriptor: FileDescriptor
  /// What it is set for; nil while it is not set.
  private var instant: Instant?

  public init() throws(Errno) {
    descriptor = FileDescriptor(
      owning: try retrying32 { timerfd_create(Int32(CLOCK_MONOTONIC), Int32(TFD_CLOEXEC | TFD_NONBLOCK)) })
  }

  /// What an event loop waits for.
  public var rawValue: Int32 { descriptor.rawValue }

  /// Rings at this instant, or earlier; at once where it has passed.
  @inline(__always)
  public mutating func ring(by deadline: Instant) {
    if let instant, instant <= deadline { return }
    set(deadline)
  }

  private mutating func set(_ deadline: Instant) {
    instant = deadline
    // Zero would clear it.
    let nanoseconds = max(deadline.nanoseconds, 1)
    var time = itimerspec()
    time.it_value.tv_sec = Int(clamping: nanoseconds / 1_000_000_000)
    time.it_value.tv_nsec = Int(nanoseconds % 1_000_000_000)
    _ = unsafe timerfd_settime(descriptor.rawValue, Int32(TFD_TIMER_ABSTIME), &time, nil)
  }

  /// It has rung, and is set for nothing now.
  public mutating func acknowledge() {
    instant = nil
    var count: UInt64 = 0
    _ = unsafe read(descriptor.rawValue, &count, 8)
  }
}
