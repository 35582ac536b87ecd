/// Counts of measured values by size, as OpenMetrics has them: each bucket counts the values up to its bound.
///
/// It has no heap memory, so that a shard can copy one while it relays packets.
public struct Histogram: Sendable {
  /// Limit of bounds.
  public static let boundLimit = 23

  private var boundValues = InlineArray<24, Double>(repeating: .infinity)
  private var countValues = InlineArray<24, UInt64>(repeating: 0)
  private var boundCount: Int
  /// The sum of all values, in their unit.
  public private(set) var sum = 0.0

  /// - Parameter bounds: the buckets' upper bounds in ascending order, in the unit of the values; those beyond
  ///   `boundLimit` are left out. Values above the last one have a bucket of their own.
  public init(bounds: [Double]) {
    boundCount = min(bounds.count, Self.boundLimit)
    for index in 0..<boundCount { boundValues[index] = bounds[index] }
  }

  /// A histogram whose bounds grow by a factor.
  public init(from first: Double, factor: Double, buckets: Int) {
    boundCount = min(max(buckets, 0), Self.boundLimit)
    var bound = first
    for index in 0..<boundCount {
      boundValues[index] = bound
      bound *= factor
    }
  }

  /// The buckets' upper bounds.
  public var bounds: [Double] { (0..<boundCount).map { boundValues[$0] } }

  /// The number of values in each bucket, not cumulative; one more than `bounds`.
  public var counts: [UInt64] { (0...boundCount).map { countValues[$0] } }

  public var count: UInt64 { counts.reduce(0, &+) }

  /// - Parameter count: how often the value was measured.
  public mutating func record(_ value: Double, count: UInt64 = 1) {
    var index = 0
    while index < boundCount, value > boundValues[index] { index += 1 }
    countValues[index] &+= count
    sum += value * Double(count)
  }

  /// Adds another histogram with the same bounds; one with other bounds is ignored.
  public mutating func add(_ other: Histogram) {
    guard other.bounds == bounds else { return }
    for index in 0...boundCount { countValues[index] &+= other.countValues[index] }
    sum += other.sum
  }
}

extension Histogram: Equatable {
  public static func == (a: Histogram, b: Histogram) -> Bool {
    a.bounds == b.bounds && a.counts == b.counts && a.sum == b.sum
  }
}
