internal import CommandLine
internal import JSON
internal import TURNClient

/// Statistics of round trips.
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

  /// The nearest-rank percentile, in nanoseconds.
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

  /// A summary in seconds, as Prometheus has them.
  func metrics(_ name: String, _ help: String) -> [Metric] {
    let quantiles = [
      ("0", minimum), ("0.5", percentile(50)), ("0.9", percentile(90)), ("0.99", percentile(99)), ("1", maximum),
    ]
    return quantiles.map { quantile, value in
      Metric(name: name + "_seconds", help: help, labels: [("quantile", quantile)], value: Double(value) / 1e9)
    }
  }
}

/// Text and metrics of a series of packets.
extension PacketSeries {
  func lines(_ what: String) -> [String] {
    var lines = [
      "  \(Decimal.padded(what, 17))\(sent) sent, \(received) received, \(Decimal.text(lossPerMille ?? 0, 1)) % lost, "
        + "\(duplicates) duplicates, \(reordered) reordered, \(late) late" + (refused > 0 ? ", \(refused) refused" : "")
    ]
    if let statistics = Statistics(roundTrips) {
      lines.append("  round trips      \(statistics.text), jitter \(Decimal.milliseconds(jitter))")
    }
    return lines
  }

  var json: JSONValue {
    .record([
      ("sent", .whole(sent)), ("received", .whole(received)), ("refused", .whole(refused)), ("lost", .whole(lost)),
      ("loss_percent", .double(Double(lossPerMille ?? 0) / 10)), ("duplicates", .whole(duplicates)),
      ("reordered", .whole(reordered)), ("late", .whole(late)),
      ("rtt_ms", Statistics(roundTrips)?.json ?? .null),
      ("jitter_ms", received > 0 ? .milliseconds(jitter) : .null),
    ])
  }

  func metrics(_ name: String, _ help: String) -> [Metric] {
    (Statistics(roundTrips)?.metrics(name, help) ?? []) + [
      Metric(name: "loss_ratio", help: "Packets without an answer.", value: Double(lossPerMille ?? 0) / 1000),
      Metric(name: "jitter_seconds", help: "Jitter of the round trips (RFC 3550).", value: Double(jitter) / 1e9),
      Metric(name: "duplicates", help: "Answers that came twice.", value: Double(duplicates)),
      Metric(name: "reordered", help: "Answers that came out of order.", value: Double(reordered)),
    ]
  }
}

extension ProbeRequest {
  /// The thresholds in the form of monitoring's performance data.
  var roundTripLimit: String { thresholds.roundTrip.map { Decimal.text($0, 6) } ?? "" }
  var lossLimit: String { thresholds.loss.map { Decimal.text($0, 1) } ?? "" }
}
