/// A point on the wall clock, in whole seconds since 1970 (UTC): when a credential, a certificate or a ban ends, or when
/// something was made. Deadlines are `Instant`s, because an operator or a time service can set the wall clock back.
public struct UnixTime: Hashable, Comparable, Sendable, BitwiseCopyable {
  /// Negative before 1970; certificates may have such times.
  public var seconds: Int64

  @inlinable
  public init(seconds: Int64) { self.seconds = seconds }

  /// The time of a number from a client, a file or a database; the last possible time if the number is larger.
  @inlinable
  public init(clamping seconds: UInt64) { self.seconds = Int64(clamping: seconds) }

  @inlinable
  public static func < (a: UnixTime, b: UnixTime) -> Bool { a.seconds < b.seconds }

  /// The time a duration later, in whole seconds, saturating at both ends.
  public func advanced(by duration: Duration) -> UnixTime {
    let (sum, overflow) = seconds.addingReportingOverflow(duration.components.seconds)
    guard overflow else { return UnixTime(seconds: sum) }
    return duration < .zero ? UnixTime(seconds: .min) : .distantFuture
  }

  /// The time from `earlier` to this one; negative if this one is earlier.
  public func duration(since earlier: UnixTime) -> Duration { .seconds(seconds) - .seconds(earlier.seconds) }

  public static let epoch = UnixTime(seconds: 0)
  public static let distantFuture = UnixTime(seconds: .max)
}

extension UnixTime: CustomStringConvertible {
  /// The number of seconds, as time-limited names and metrics have it.
  public var description: String { "\(seconds)" }
}
