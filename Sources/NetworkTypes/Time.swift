/// A point on the monotonic clock, in nanoseconds since an arbitrary origin. Deadlines are absolute instants.
public struct Instant: Hashable, Comparable, Sendable, BitwiseCopyable {
  public var nanoseconds: UInt64

  @inlinable
  public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

  @inlinable
  public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

  /// Nanoseconds from `earlier` to this instant; 0 if it is not earlier.
  @inlinable
  public func nanoseconds(since earlier: Instant) -> UInt64 {
    nanoseconds > earlier.nanoseconds ? nanoseconds - earlier.nanoseconds : 0
  }

  public static let distantFuture = Instant(nanoseconds: .max)
}

/// Both clocks at the beginning of a turn of the event loop. Every input has it as an argument: the protocol never
/// reads a clock itself.
public struct Now: Sendable, BitwiseCopyable {
  /// CLOCK_MONOTONIC: lifetimes and deadlines.
  public var instant: Instant
  /// CLOCK_REALTIME: time-limited credentials and nonces.
  public var wall: UnixTime

  @inlinable
  public init(instant: Instant, wall: UnixTime) {
    self.instant = instant
    self.wall = wall
  }
}
