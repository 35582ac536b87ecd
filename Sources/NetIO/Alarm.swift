internal import CLinux
public import NetworkTypes
public import System

/// Wakes an event loop at an instant (timerfd_create(2)).
///
/// With a timeout for each wait, the kernel would set and clear a timer with every packet, although the next deadline
/// rarely changes. This timer is set again only for an earlier deadline. So it may ring once too early if its deadline
/// was postponed.
@safe
public struct Alarm: ~Copyable {
  private let descriptor: FileDescriptor
  /// The time for which the timer is set; nil while it is not set.
  private var instant: Instant?

  public init() throws(Errno) {
    descriptor = FileDescriptor(
      owning: try retrying { timerfd_create(Int32(CLOCK_MONOTONIC), Int32(TFD_CLOEXEC | TFD_NONBLOCK)) })
  }

  /// The descriptor for an event loop.
  public var rawValue: Int32 { descriptor.rawValue }

  /// Sets the alarm to ring at this instant or earlier; if the instant has passed, at once.
  @inline(__always)
  public mutating func ring(by deadline: Instant) {
    if let instant, instant <= deadline { return }
    set(deadline)
  }

  private mutating func set(_ deadline: Instant) {
    instant = deadline
    // Zero would clear the timer.
    let nanoseconds = max(deadline.nanoseconds, 1)
    var time = itimerspec()
    time.it_value.tv_sec = Int(clamping: nanoseconds / 1_000_000_000)
    time.it_value.tv_nsec = Int(nanoseconds % 1_000_000_000)
    _ = unsafe timerfd_settime(descriptor.rawValue, Int32(TFD_TIMER_ABSTIME), &time, nil)
  }

  /// Clears the alarm after it has rung.
  public mutating func acknowledge() {
    instant = nil
    var count: UInt64 = 0
    _ = unsafe read(descriptor.rawValue, &count, 8)
  }
}
