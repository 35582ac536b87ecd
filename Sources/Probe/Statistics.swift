internal import CommandLine
internal import JSON
internal import NetworkTypes
internal import TLS
internal import TURNClient

/// Statistics of round trips.
struct Statistics {
  /// Ascending; never empty.
  private let sorted: [Duration]

  init?(_ values: [Duration]) {
    guard !values.isEmpty else { return nil }
    sorted = values.sorted()
  }

  var minimum: Duration { sorted[0] }
  var maximum: Duration { sorted[sorted.count - 1] }
  var mean: Duration {
    let total: Duration = sorted.reduce(.zero, +)
    return total / sorted.count
  }

  /// The nearest-rank percentile.
  func percentile(_ percent: Int) -> Duration {
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

  /// Quantiles in seconds, with the labels of a Prometheus summary.
  func metrics(_ name: String, _ help: String) -> [Metric] {
    let quantiles = [
      ("0", minimum), ("0.5", percentile(50)), ("0.9", percentile(90)), ("0.99", percentile(99)), ("1", maximum),
    ]
    return quantiles.map { quantile, value in
      Metric(name: name + "_seconds", help: help, labels: [("quantile", quantile)], value: value.fractionalSeconds)
    }
  }
}

/// Text and metrics of a series of packets.
extension PacketSeries {
  func lines(_ what: String) -> [String] {
    var lines = [
      "  \(what.padded(to: 17))\(sent) sent, \(received) received, \(Decimal.text(lossPerMille ?? 0, 1)) % lost, "
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
      Metric(name: "jitter_seconds", help: "Jitter of the round trips (RFC 3550).", value: jitter.fractionalSeconds),
      Metric(name: "duplicates", help: "Answers that came twice.", value: Double(duplicates)),
      Metric(name: "reordered", help: "Answers that came out of order.", value: Double(reordered)),
    ]
  }
}

extension Outcome {
  /// Warns if the median of round trips is over the threshold.
  mutating func warn(ofMedian statistics: Statistics, _ arguments: ProbeRequest) {
    guard let threshold = arguments.thresholds.roundTrip, statistics.percentile(50) > threshold else { return }
    let median = Decimal.milliseconds(statistics.percentile(50))
    warnings.append("the median round trip is \(median) ms, over \(arguments.roundTripLimit) ms")
  }

  /// Warns if too many requests were lost.
  ///
  /// - Parameter loss: the lost share, in tenths of a percent.
  mutating func warn(ofLoss loss: UInt64, _ arguments: ProbeRequest) {
    guard let threshold = arguments.thresholds.loss, loss > threshold else { return }
    warnings.append("\(Decimal.text(loss, 1)) % of the requests were lost, over \(arguments.lossLimit) %")
  }

  /// Warns if the certificate expires too soon.
  mutating func warn(ofCertificate tls: TLSConnectionSummary?, _ arguments: ProbeRequest, now: UnixTime) {
    if let warning = tls?.warning(minimumDays: arguments.thresholds.days, now: now) { warnings.append(warning) }
  }
}

extension ProbeRequest {
  /// The thresholds in the form of monitoring's performance data.
  var roundTripLimit: String { thresholds.roundTrip.map { Decimal.text($0.wholeNanoseconds, 6) } ?? "" }
  var lossLimit: String { thresholds.loss.map { Decimal.text($0, 1) } ?? "" }
}
