internal import ClientIO
internal import Crypto
internal import JSON
internal import NetIO
internal import NetworkTypes
internal import TURNClient

/// `stunclient binding`.
enum BindingCommand {
  static func run(_ arguments: Arguments) throws(UsageError) -> Outcome {
    let options = try Preparation.options(arguments)
    var outcome = Outcome(command: "binding", uri: arguments.uri.description, hints: arguments.uri.hints)
    var generator = Preparation.generator()
    let isLive = arguments.format == .text && arguments.count > 1
    let report = Preparation.onEachAddress(arguments, &outcome, verdict: \BindingReport.verdict) { target in
      BindingCheck.run(
        target, options, count: arguments.count, interval: arguments.interval, generator: &generator
      ) { index, sample in
        if isLive { Output.write(line(index, sample)) }
      }
    }
    if let report { describe(report, arguments, &outcome) }
    return outcome
  }

  /// One request of many, as it ends.
  private static func line(_ index: Int, _ sample: Result<BindingProbe.Response, CheckFailure>) -> String {
    switch sample {
    case .success(let response):
      "\(index + 1): \(response.mappedAddress) \(Decimal.milliseconds(response.roundTrip)) ms\n"
    case .failure(let failure): "\(index + 1): \(failure.message)\n"
    }
  }

  private static func describe(_ report: BindingReport, _ arguments: Arguments, _ outcome: inout Outcome) {
    let now = Int64(clamping: Now.read().wallSeconds)
    let sent = report.samples.count
    let received = report.roundTrips.count
    // Tenths of a percent.
    let loss = sent == 0 ? 1000 : UInt64((sent - received) * 1000 / sent)
    let statistics = Statistics(report.roundTrips)
    outcome.failure = report.verdict
    outcome.lines = lines(report, statistics, loss: loss, now: now)
    outcome.members = members(report, statistics, loss: loss, now: now)
    if let response = report.response, let statistics {
      let median = Decimal.milliseconds(statistics.percentile(50))
      outcome.summary =
        "\(report.target.transport.label) \(report.target.address) mapped \(response.mappedAddress) rtt \(median) ms"
      let limit = arguments.thresholds.roundTrip.map { Decimal.text($0, 6) } ?? ""
      let lossLimit = arguments.thresholds.loss.map { Decimal.text($0, 1) } ?? ""
      outcome.performance = ["rtt=\(median)ms;\(limit);;0;", "loss=\(Decimal.text(loss, 1))%;\(lossLimit);;0;100"]
      if let threshold = arguments.thresholds.roundTrip, statistics.percentile(50) > threshold {
        outcome.warnings.append("the median round trip is \(median) ms, over \(limit) ms")
      }
      if let threshold = arguments.thresholds.loss, loss > threshold {
        outcome.warnings.append("\(Decimal.text(loss, 1)) % of the requests were lost, over \(lossLimit) %")
      }
    }
    if let warning = report.tls?.warning(minimumDays: arguments.thresholds.days, now: now) {
      outcome.warnings.append(warning)
    }
  }

  private static func lines(
    _ report: BindingReport, _ statistics: Statistics?, loss: UInt64, now: Int64
  ) -> [String] {
    var lines = ["\(report.target.uri) (\(report.target.address) over \(report.target.transport.label))"]
    if report.connectDuration > 0 {
      lines.append("  connected in     \(Decimal.milliseconds(report.connectDuration)) ms")
    }
    if report.handshakeDuration > 0 {
      lines.append("  TLS handshake    \(Decimal.milliseconds(report.handshakeDuration)) ms")
    }
    lines += report.tls?.lines(now: now) ?? []
    guard let response = report.response, let statistics else { return lines }
    if let local = report.localAddress { lines.append("  local address    \(local)") }
    lines.append("  mapped address   \(response.mappedAddress)\(response.isXORMapped ? "" : " (MAPPED-ADDRESS only)")")
    if report.samples.count > 1 {
      lines.append(
        "  answers          \(report.roundTrips.count) of \(report.samples.count), \(Decimal.text(loss, 1)) % lost")
      lines.append("  round trips      \(statistics.text)")
    } else {
      let again = response.transmissions > 1 ? " (\(response.transmissions) requests)" : ""
      lines.append("  round trip       \(Decimal.milliseconds(response.roundTrip)) ms\(again)")
    }
    if let software = response.software { lines.append("  software         \(software)") }
    if let other = response.otherAddress { lines.append("  other address    \(other)") }
    return lines
  }

  private static func members(
    _ report: BindingReport, _ statistics: Statistics?, loss: UInt64, now: Int64
  ) -> [(String, JSONValue)] {
    let response = report.response
    let isStream = report.target.transport.isStream
    return [
      ("transport", .string(report.target.transport.label.lowercased())),
      ("server", .string(report.target.address.description)),
      ("local", .optional(report.localAddress?.description)),
      ("mapped", .optional(response?.mappedAddress.description)),
      ("xor_mapped", response.map { .bool($0.isXORMapped) } ?? .null),
      ("software", .optional(response?.software)),
      ("fingerprint", response.map { .bool($0.hasFingerprint) } ?? .null),
      ("response_origin", .optional(response?.responseOrigin?.description)),
      ("other_address", .optional(response?.otherAddress?.description)),
      ("connect_ms", isStream ? .milliseconds(report.connectDuration) : .null),
      (
        "tls_handshake_ms",
        report.handshakeDuration > 0 ? .milliseconds(report.handshakeDuration) : .null
      ),
      ("sent", .whole(report.samples.count)), ("received", .whole(report.roundTrips.count)),
      ("loss_percent", .double(Double(loss) / 10)), ("rtt_ms", statistics?.json ?? .null),
      ("tls", report.tls?.json(now: now) ?? .null),
    ]
  }
}
