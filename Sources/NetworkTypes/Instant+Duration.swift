extension Instant {
  /// The instant a duration later, saturating at the end; a negative duration counts as zero.
  public func advanced(by duration: Duration) -> Instant {
    guard duration > .zero else { return self }
    let (sum, overflow) = nanoseconds.addingReportingOverflow(duration.wholeNanoseconds)
    return Instant(nanoseconds: overflow ? .max : sum)
  }

  /// The time from `earlier` to this instant; zero if it is not earlier.
  public func duration(since earlier: Instant) -> Duration {
    .nanoseconds(Int64(clamping: nanoseconds(since: earlier)))
  }
}

extension Duration {
  /// A duration that a 32-bit field of a message carries.
  public init(wireSeconds seconds: UInt32) { self = .seconds(Int64(seconds)) }

  /// Seconds with their fraction, as metrics have them.
  public var fractionalSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }

  /// Seconds, rounded down; 0 if negative, `.max` beyond 136 years.
  public var wholeSeconds: UInt32 { UInt32(clamping: components.seconds) }

  /// Milliseconds, rounded up, so that a wait does not end too early; 0 if negative, `.max` beyond 24 days.
  public var milliseconds: Int32 {
    let nanoseconds = wholeNanoseconds
    return Int32(clamping: nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 > 0 ? 1 : 0))
  }

  /// Microseconds, rounded down; 0 if negative.
  public var wholeMicroseconds: UInt64 { wholeNanoseconds / 1000 }

  /// Nanoseconds, rounded down; 0 if negative, `.max` beyond 584 years.
  public var wholeNanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, carry) = product.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
    return overflow || carry ? .max : sum
  }
}
