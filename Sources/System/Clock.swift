internal import CLinux
public import NetworkTypes

extension Now {
  /// The kernel's two clocks.
  public static func read() -> Now {
    Now(instant: .read(), wall: UnixTime(seconds: Int64(time(nil))))
  }
}

extension Instant {
  /// CLOCK_MONOTONIC.
  public static func read() -> Instant {
    var value = timespec()
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &value)
    return Instant(nanoseconds: UInt64(clamping: value.tv_sec) * 1_000_000_000 + UInt64(clamping: value.tv_nsec))
  }
}
