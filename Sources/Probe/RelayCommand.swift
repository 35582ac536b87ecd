internal import ClientIO
internal import CommandLine
internal import JSON
internal import NetIO
internal import NetworkTypes
internal import System
internal import TURNClient

/// `stunclient relay`.
enum RelayCommand {
  static func run(_ job: Job) throws(UsageError) -> Outcome {
    try job.onEachFamily { (job, targets, outcome) throws(UsageError) in
      let arguments = job.arguments
      let report = try job.onEachAddress(targets, &outcome, verdict: \RelayReport.verdict) { target, options in
        RelayCheck.run(
          target, options, count: arguments.count ?? 1, interval: arguments.interval ?? .milliseconds(20),
          generator: Job.generator(), stop: { job.isStopped })
      }
      guard let report else { return }
      describe(report, arguments, &outcome)
      explainRefusal(report, job, &outcome)
      if arguments.format == .ndjson { for step in report.steps { Output.write(event(step, report.target)) } }
    }
  }

  /// Explains a 401 for a credential that was made here: the secret or a clock is wrong, and more requests tell which.
  private static func explainRefusal(_ report: RelayReport, _ job: Job, _ outcome: inout Outcome) {
    guard outcome.failure?.reason == .wrongCredentials else { return }
    defer { if let oddity = job.oddity { outcome.failure?.advice += "; \(oddity): is that meant?" } }
    guard let secret = job.secret else { return }
    var generator = Job.generator()
    let source = job.arguments.credentials
    switch ClockDiagnosis.run(
      report.target, job.options, name: source.effectiveName, secret: secret, lifetime: source.lifetime,
      generator: &generator)
    {
    case .otherSecret:
      outcome.failure?.advice =
        "the shared secret is wrong (not expired: a credential that is valid for ten years was refused, too)"
    case .serverAhead(let difference):
      outcome.failure?.advice = "this machine's clock is \(difference.wholeSeconds) s behind the server's"
    case .unclear: break
    }
  }

  private static func event(_ step: RelayReport.Step, _ target: ServerTarget) -> String {
    NDJSON.line(
      "step",
      [("target", .string(target.uri.description)), ("family", .string(target.address.family.key))] + members(step))
  }

  private static func describe(_ report: RelayReport, _ arguments: ProbeRequest, _ outcome: inout Outcome) {
    let now = Now.read().wall
    outcome.family = report.target.address.family
    outcome.failure = report.verdict
    outcome.complaints = report.complaints
    outcome.notes += report.notes
    outcome.lines = lines(report, now: now)
    outcome.members = members(report, now: now)
    let echo = report.steps.first { $0.name == .channelEcho && $0.failure == nil }?.duration
    if let relayed = report.grant?.relayedAddresses.first {
      outcome.summary =
        "\(report.target.transport.label) \(report.target.address) relayed \(relayed), "
        + "all steps in \(Decimal.milliseconds(report.totalDuration)) ms"
    }
    if let echo {
      outcome.performance.append("echo=\(Decimal.milliseconds(echo))ms;\(arguments.roundTripLimit);;0;")
      if let threshold = arguments.thresholds.roundTrip, echo > threshold {
        outcome.warnings.append(
          "the echo through the relay took \(Decimal.milliseconds(echo)) ms, over \(arguments.roundTripLimit) ms")
      }
    }
    if let series = report.series { describe(series, arguments, &outcome) }
    outcome.performance.append("total=\(Decimal.milliseconds(report.totalDuration))ms;;;0;")
    outcome.warn(ofCertificate: report.tls, arguments, now: now)
    outcome.metrics = report.steps.map { step in
      Metric(
        name: "step_seconds", help: "How long each step of a relay check took.",
        labels: [("step", step.name.rawValue), ("ok", step.failure == nil ? "true" : "false")],
        value: step.duration.fractionalSeconds)
    }
    if let series = report.series { outcome.metrics += series.metrics("relay_rtt", "Round trips through the relay.") }
    outcome.metrics += report.tls?.metrics ?? []
  }

  private static func describe(_ series: PacketSeries, _ arguments: ProbeRequest, _ outcome: inout Outcome) {
    let loss = series.lossPerMille ?? 0
    outcome.performance.append("loss=\(Decimal.text(loss, 1))%;\(arguments.lossLimit);;0;100")
    if let threshold = arguments.thresholds.loss, loss > threshold {
      outcome.warnings.append(
        "\(Decimal.text(loss, 1)) % of the packets through the relay were lost, over \(arguments.lossLimit) %")
    }
    if let p50 = Statistics(series.roundTrips)?.percentile(50) {
      outcome.performance.append("rtt=\(Decimal.milliseconds(p50))ms;;;0;")
    }
  }

  private static func lines(_ report: RelayReport, now: UnixTime) -> [String] {
    var lines = ["\(report.target.uri) (\(report.target.address) over \(report.target.transport.label))"]
    lines += report.tls?.lines(now: now) ?? []
    if let local = report.localAddress { lines.append("  local address    \(local)") }
    if let grant = report.grant {
      if let mapped = grant.mappedAddress { lines.append("  mapped address   \(mapped)") }
      lines.append("  relayed address  \(grant.relayedAddresses.map(\.description).joined(separator: ", "))")
      lines.append("  lifetime         \(grant.lifetime.wholeSeconds) s")
      if let software = grant.software { lines.append("  software         \(software)") }
    }
    if let realm = report.realm, !realm.isEmpty {
      lines.append("  realm            \(realm)\(report.usesSHA256 ? " (SHA-256)" : "")")
    }
    if let peer = report.peerAddress, let kind = report.peerKind {
      lines.append("  peer             \(peer) (\(kind == .socket ? "a socket here" : "a second allocation"))")
    }
    for step in report.steps {
      let verdict = step.failure == nil ? "\(Decimal.milliseconds(step.duration)) ms" : "FAILED"
      let again = step.attempts > 1 && step.failure == nil ? " (\(step.attempts) attempts)" : ""
      lines.append("  \(step.name.rawValue.padded(to: 17))\(verdict)\(again)")
    }
    if let series = report.series { lines += series.lines("packets") }
    return lines
  }

  private static func members(_ report: RelayReport, now: UnixTime) -> [(String, JSONValue)] {
    [
      ("transport", .string(report.target.transport.label.lowercased())),
      ("server", .string(report.target.address.description)),
      ("local", .optional(report.localAddress?.description)),
      ("mapped", .optional(report.grant?.mappedAddress?.description)),
      ("relayed", .strings(report.grant?.relayedAddresses.map(\.description) ?? [])),
      ("lifetime", report.grant.map { .whole($0.lifetime.wholeSeconds) } ?? .null),
      ("realm", .optional(report.realm)), ("sha256", .bool(report.usesSHA256)),
      ("software", .optional(report.grant?.software)),
      ("peer", .optional(report.peerAddress?.description)), ("peer_kind", .optional(report.peerKind?.rawValue)),
      (
        "steps",
        .array(
          report.steps.map { step in
            .record(members(step))
          })
      ),
      ("total_ms", .milliseconds(report.totalDuration)),
      ("series", report.series?.json ?? .null),
      ("tls", report.tls?.json(now: now) ?? .null),
    ]
  }

  private static func members(_ step: RelayReport.Step) -> [(String, JSONValue)] {
    [
      ("name", .string(step.name.rawValue)), ("ok", .bool(step.failure == nil)),
      ("ms", .milliseconds(step.duration)), ("attempts", .whole(step.attempts)),
      ("reason", .optional(step.failure?.reason.rawValue)),
    ]
  }
}
