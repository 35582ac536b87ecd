internal import JSON

/// Round trips in figures.
struct Statistics {
  /// Nanoseconds, ascending; never empty.
  private let sorted: [UInt64]

  init?(_ values: [UInt64]) {
    guard !values.isEmpty else { return nil }
    sorted = values.sorted()
  }

  var minimum: UInt64 { sorted[0] }
  var maximum: UInt64 { sorted[sorted.count - 1] }
  var mean: UInt64 { sorted.reduce(0, &+) / UInt64(sorted.count) }

  /// The value that so many hundredths of all are not above (nearest rank).
  func percentile(_ percent: Int) -> UInt64 {
    let rank = (sorted.count * percent + 99) / 100
    return sorted[min(max(rank, 1), sorted.count) - 1]
  }

  var text: String {
    "min \(Decimal.milliseconds(minimum)), p50 \(Decimal.milliseconds(percentile(50))), "
      + "p90 \(Decimal.milliseconds(percentile(90))), p99 \(Decimal.milliseconds(percentile(99))), "
      + "max \(Decimal.milliseconds(maximum)) ms"
  }

  var json: JSONValue {
    .record([
      ("min", .milliseconds(minimum)), ("mean", .milliseconds(mean)),
      ("p50", .milliseconds(percentile(50))), ("p90", .milliseconds(percentile(90))),
      ("p99", .milliseconds(percentile(99))), ("max", .milliseconds(maximum)),
    ])
  }
}
