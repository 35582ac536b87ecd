internal import ClientIO
internal import CommandLine
internal import JSON
internal import NetIO
internal import NetworkTypes
internal import System
internal import TURNClient

/// `stunclient binding`.
enum BindingCommand {
  static func run(_ job: Job) throws(UsageError) -> Outcome {
    var outcome = try job.onEachFamily { (job, targets, outcome) throws(UsageError) in
      try run(job, targets, &outcome)
    }
    if job.arguments.isStuntmanCompatible, outcome.lines.isEmpty { outcome.lines = ["Binding test: fail"] }
    return outcome
  }

  private static func run(_ job: Job, _ targets: [ServerTarget], _ outcome: inout Outcome) throws(UsageError) {
    var generator = Job.generator()
    let arguments = job.arguments
    let count = arguments.count ?? 1
    let isLive = arguments.format == .text && count > 1
    let report = try job.onEachAddress(targets, &outcome, verdict: \BindingReport.verdict) { target, options in
      BindingCheck.run(
        target, options, count: count, interval: arguments.interval ?? .seconds(1), generator: &generator,
        stop: { count > 1 && job.isStopped }
      ) { index, sample in
        if isLive { Output.write(Style.plain(job.label) + line(index, sample)) }
        if arguments.format == .ndjson { Output.write(event(target, index, sample)) }
      }
    }
    if let report { describe(report, arguments, &outcome) }
  }

  /// The line for one of several requests.
  private static func line(_ index: Int, _ sample: Result<BindingProbe.Response, CheckFailure>) -> String {
    switch sample {
    case .success(let response):
      "\(index + 1): \(response.mappedAddress) \(Decimal.milliseconds(response.roundTrip)) ms\n"
    case .failure(let failure): Style.plain("\(index + 1): \(failure.message)") + "\n"
    }
  }

  private static func event(
    _ target: ServerTarget, _ index: Int, _ sample: Result<BindingProbe.Response, CheckFailure>
  ) -> String {
    var members: [(String, JSONValue)] = [
      ("target", .string(target.uri.description)), ("family", .string(target.address.family.key)),
      ("sequence", .whole(index + 1)),
    ]
    switch sample {
    case .success(let response):
      members += [
        ("mapped", .string(response.mappedAddress.description)), ("rtt_ms", .milliseconds(response.roundTrip)),
      ]
      return NDJSON.line("answer", members)
    case .failure(let failure):
      return NDJSON.line("no-answer", members + [("reason", .string(failure.reason.rawValue))])
    }
  }

  private static func describe(_ report: BindingReport, _ arguments: ProbeRequest, _ outcome: inout Outcome) {
    let now = Now.read().wall
    let ended = report.samples.count
    let received = report.roundTrips.count
    // `loss` is in tenths of a percent.
    let loss = PacketSeries.lossPerMille(lost: ended - received, of: ended) ?? 1000
    let statistics = Statistics(report.roundTrips)
    outcome.family = report.target.address.family
    outcome.failure = report.verdict
    outcome.complaints = report.complaints
    outcome.lines = lines(report, arguments, statistics, loss: loss, now: now)
    outcome.members = members(report, statistics, loss: loss, now: now)
    if let response = report.response, let statistics {
      let median = Decimal.milliseconds(statistics.percentile(50))
      outcome.summary =
        "\(report.target.transport.label) \(report.target.address) mapped \(response.mappedAddress) rtt \(median) ms"
      outcome.performance = [
        "rtt=\(median)ms;\(arguments.roundTripLimit);;0;",
        "loss=\(Decimal.text(loss, 1))%;\(arguments.lossLimit);;0;100",
      ]
      outcome.warn(ofMedian: statistics, arguments)
      outcome.warn(ofLoss: loss, arguments)
    }
    outcome.warn(ofCertificate: report.tls, arguments, now: now)
    outcome.metrics =
      (statistics?.metrics("rtt", "Round trips of Binding requests.") ?? []) + [
        Metric(name: "loss_ratio", help: "Requests without an answer.", value: Double(loss) / 1000)
      ] + (report.tls?.metrics ?? [])
  }

  /// The lines of stuntman's client, which scripts parse.
  private static func stuntman(_ report: BindingReport) -> [String] {
    var lines = ["Binding test: \(report.verdict == nil ? "success" : "fail")"]
    if let response = report.response {
      if let local = report.localAddress { lines.append("Local address: \(local)") }
      lines.append("Mapped address: \(response.mappedAddress)")
    }
    return lines
  }

  private static func lines(
    _ report: BindingReport, _ arguments: ProbeRequest, _ statistics: Statistics?, loss: UInt64, now: UnixTime
  ) -> [String] {
    if arguments.mode != nil { return stuntman(report) }
    var lines = ["\(report.target.uri) (\(report.target.address) over \(report.target.transport.label))"]
    if arguments.isStuntmanCompatible {
      lines += stuntman(report)
    } else if let response = report.response {
      if let local = report.localAddress { lines.append("  local address    \(local)") }
      lines.append("  mapped address   \(response.mappedAddress)")
    }
    if report.connectDuration > .zero {
      lines.append("  connected in     \(Decimal.milliseconds(report.connectDuration)) ms")
    }
    if report.handshakeDuration > .zero {
      lines.append("  handshake in     \(Decimal.milliseconds(report.handshakeDuration)) ms")
    }
    lines += report.tls?.lines(now: now) ?? []
    guard let response = report.response, let statistics else { return lines }
    if !response.isXORMapped { lines.append("  answered with    MAPPED-ADDRESS only, which NATs may rewrite") }
    if report.samples.count > 1 {
      let pending = report.hasPending ? ", 1 more pending" : ""
      lines.append(
        "  answers          \(report.roundTrips.count) of \(report.samples.count), \(Decimal.text(loss, 1)) % lost"
          + pending)
      lines.append("  round trips      \(statistics.text)")
    } else {
      let again = response.transmissions > 1 ? " (sent \(response.transmissions) times)" : ""
      lines.append("  round trip       \(Decimal.milliseconds(response.roundTrip)) ms\(again)")
    }
    if let software = response.software { lines.append("  software         \(software)") }
    if let other = response.otherAddress { lines.append("  other address    \(other)") }
    return lines
  }

  private static func members(
    _ report: BindingReport, _ statistics: Statistics?, loss: UInt64, now: UnixTime
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
        report.handshakeDuration > .zero ? .milliseconds(report.handshakeDuration) : .null
      ),
      ("sent", .whole(report.sent)), ("received", .whole(report.roundTrips.count)),
      ("loss_percent", .double(Double(loss) / 10)), ("rtt_ms", statistics?.json ?? .null),
      ("tls", report.tls?.json(now: now) ?? .null),
    ]
  }
}
