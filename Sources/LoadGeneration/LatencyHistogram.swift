/// Counts durations in nanoseconds in buckets that are at most 1.6 % wide: adding a value takes a few nanoseconds and
/// allocates no memory.
public struct LatencyHistogram: Sendable {
  /// 64 buckets for each power of two; up to 2^42 ns, over an hour.
  private static let stepBits = 6
  private static let bucketCount = (42 - stepBits + 1) << stepBits

  private var counts = [UInt64](repeating: 0, count: bucketCount)
  public private(set) var count: UInt64 = 0
  public private(set) var sum: UInt64 = 0
  private var smallest = UInt64.max
  public private(set) var maximum: UInt64 = 0

  public init() {}

  /// Counts a duration, in nanoseconds.
  @inline(__always)
  public mutating func add(_ nanoseconds: UInt64) {
    counts[Self.bucket(nanoseconds)] &+= 1
    count &+= 1
    sum &+= nanoseconds
    if nanoseconds < smallest { smallest = nanoseconds }
    if nanoseconds > maximum { maximum = nanoseconds }
  }

  /// Nanoseconds; nil without any value.
  public var minimum: UInt64? { count > 0 ? smallest : nil }

  /// Nanoseconds; 0 without any value.
  public var mean: UInt64 { count > 0 ? sum / count : 0 }

  /// The quantile in thousandths, rounded up to the bucket's upper edge; 0 without any value.
  public func quantile(thousandths: UInt64) -> UInt64 {
    guard count > 0 else { return 0 }
    let rank = max(1, (count * thousandths + 999) / 1000)
    var seen: UInt64 = 0
    for index in counts.indices {
      seen += counts[index]
      if seen >= rank { return min(Self.upperEdge(index), maximum) }
    }
    return maximum
  }

  @inline(__always)
  static func bucket(_ value: UInt64) -> Int {
    let value = min(value, 1 << 42 - 1)
    if value < 1 << stepBits { return Int(value) }
    // The highest bit selects the power of two, the bits below it the bucket within.
    let exponent = 63 - value.leadingZeroBitCount - stepBits
    return (exponent + 1) << stepBits + Int((value >> UInt64(exponent)) & (1 << stepBits - 1))
  }

  static func upperEdge(_ bucket: Int) -> UInt64 {
    guard bucket >= 1 << stepBits else { return UInt64(bucket) }
    let exponent = bucket >> stepBits - 1
    let step = UInt64(bucket & (1 << stepBits - 1))
    return (1 << UInt64(stepBits) + step + 1) << UInt64(exponent) - 1
  }
}
