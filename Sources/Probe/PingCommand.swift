internal import ClientIO
internal import CommandLine
internal import JSON
internal import NetIO
internal import NetworkTypes
internal import System
internal import TURNClient

/// `stunclient ping`: Binding requests until `--count` or Ctrl-C.
enum PingCommand {
  static func run(_ job: Job) throws(UsageError) -> Outcome {
    var outcome = job.outcome
    let arguments = job.arguments
    guard let target = try firstReachable(job, &outcome) else { return outcome }
    var generator = Job.generator()
    if arguments.format == .text {
      Output.write("ping \(target.target.uri) (\(target.target.address) over \(target.target.transport.label))\n")
    }
    let isLive = arguments.format == .text && Style.isTerminal
    let report = PingCheck.run(
      target.target, target.options, count: arguments.count, interval: arguments.interval ?? .seconds(1),
      generator: &generator, stop: { job.isStopped }
    ) { event, requests in
      switch arguments.format {
      case .text: Output.write(isLive ? live(event, requests) : Style.plain(line(event)) + "\n")
      case .ndjson: Output.write(json(event, arguments))
      case .json, .check: break
      }
    }
    if isLive { Output.write("\r\u{1B}[K") }
    describe(report, arguments, &outcome)
    job.addFamilyNote(target.target.address.family, among: target.all, &outcome)
    return outcome
  }

  /// The time that an address has to answer before the next one is tried.
  private static let trialTimeout = Duration.milliseconds(1500)

  /// The chosen address, and all addresses of the target.
  private struct Choice {
    var target: ServerTarget
    var options: CheckOptions
    var all: [ServerTarget]
  }

  /// The first address that answers. If none does, the first address, whose failure is then reported.
  private static func firstReachable(
    _ job: Job, _ outcome: inout Outcome
  ) throws(UsageError) -> Choice? {
    guard let targets = job.targets(&outcome) else { return nil }
    var usable: [Choice] = []
    for target in targets {
      if let options = try job.options(for: target) {
        usable.append(Choice(target: target, options: options, all: targets))
      }
    }
    guard let first = usable.first else {
      outcome.failure = CheckFailure(
        .unresolved, "\(job.arguments.uri.host) has no address of the family of --localaddr",
        advice: "give an address of the other family, or none")
      return nil
    }
    guard usable.count > 1 else { return first }
    var generator = Job.generator()
    for candidate in usable {
      var options = candidate.options
      options.timeout = min(options.timeout, trialTimeout)
      options.looksAround = false
      let failure = BindingCheck.run(candidate.target, options, generator: &generator).verdict
      guard let failure else { return candidate }
      outcome.notes.append("first tried: \(failure.message)")
    }
    return first
  }

  // MARK: - While it runs

  private static func line(_ event: PingCheck.Event) -> String {
    switch event {
    case .answer(let number, let roundTrip): "\(number + 1): \(Decimal.milliseconds(roundTrip)) ms"
    case .refused(let number, let failure): "\(number + 1): \(failure.message)"
    case .duplicate(let number): "\(number + 1): answered again"
    case .late(let number): "\(number + 1): answered after the timeout"
    case .lost(let number): "\(number + 1): no answer"
    }
  }

  /// A status line that the next one overwrites; before it, a line that stays if the event is not an answer.
  private static func live(_ event: PingCheck.Event, _ requests: borrowing PingRequests) -> String {
    // The terminal must cut a long line and not wrap it: a wrapped line cannot be overwritten.
    var text = "\r\u{1B}[K\u{1B}[?7l"
    var last = ""
    if case .answer(_, let roundTrip) = event {
      last = ", last \(Decimal.milliseconds(roundTrip))"
    } else {
      text += Style.yellow(Style.plain(line(event))) + "\n"
    }
    let series = requests.series
    text +=
      "\(series.sent) sent, \(series.received) received, \(Decimal.text(series.lossPerMille ?? 0, 1)) % lost\(last)"
    if let minimum = series.minimum, let mean = series.mean, let maximum = series.maximum {
      text +=
        ", min \(Decimal.milliseconds(minimum)), mean \(Decimal.milliseconds(mean)), "
        + "max \(Decimal.milliseconds(maximum)), jitter \(Decimal.milliseconds(series.jitter)) ms"
    }
    return text + "\u{1B}[?7h"
  }

  private static func json(_ event: PingCheck.Event, _ arguments: ProbeRequest) -> String {
    func members(_ number: Int) -> [(String, JSONValue)] {
      [("target", .string(arguments.uri.description)), ("sequence", .whole(number + 1))]
    }
    switch event {
    case .answer(let number, let roundTrip):
      return NDJSON.line("answer", members(number) + [("rtt_ms", .milliseconds(roundTrip))])
    case .refused(let number, let failure):
      return NDJSON.line("refused", members(number) + [("reason", .string(failure.reason.rawValue))])
    case .duplicate(let number): return NDJSON.line("duplicate", members(number))
    case .late(let number): return NDJSON.line("late", members(number))
    case .lost(let number): return NDJSON.line("lost", members(number))
    }
  }

  // MARK: - The summary

  /// Adds round trips and loss, and warnings for the thresholds that they exceed.
  private static func describeFigures(_ report: PingReport, _ arguments: ProbeRequest, _ outcome: inout Outcome) {
    let series = report.series
    let loss = series.lossPerMille ?? 0
    if let statistics = Statistics(series.roundTrips) {
      let median = Decimal.milliseconds(statistics.percentile(50))
      outcome.summary =
        "\(report.target.transport.label) \(report.target.address) rtt \(median) ms, "
        + "\(Decimal.text(loss, 1)) % of \(series.sent) lost"
      outcome.performance = [
        "rtt=\(median)ms;\(arguments.roundTripLimit);;0;",
        "p99=\(Decimal.milliseconds(statistics.percentile(99)))ms;;;0;",
        "jitter=\(Decimal.milliseconds(series.jitter))ms;;;0;",
        "loss=\(Decimal.text(loss, 1))%;\(arguments.lossLimit);;0;100",
      ]
      outcome.warn(ofMedian: statistics, arguments)
    }
    outcome.warn(ofLoss: loss, arguments)
  }

  private static func describe(_ report: PingReport, _ arguments: ProbeRequest, _ outcome: inout Outcome) {
    let series = report.series
    let now = Now.read().wall
    outcome.failure = report.failure
    outcome.complaints = report.complaints
    outcome.lines = series.sent > 0 ? series.lines("requests") : []
    if let local = report.localAddress, let mapped = report.mappedAddress {
      outcome.lines.append("  addresses        local \(local), mapped \(mapped)")
    }
    if report.remappings > 0 {
      outcome.notes.append(
        "the mapped address changed \(report.remappings) times: a NAT's bindings expire, or it has several addresses")
    }
    describeFigures(report, arguments, &outcome)
    if let refusal = report.refusal, outcome.failure == nil {
      outcome.warnings.append("\(series.refused) of \(series.sent) requests were refused; the last: \(refusal.message)")
    }
    outcome.warn(ofCertificate: report.tls, arguments, now: now)
    outcome.members = [
      ("transport", .string(report.target.transport.label.lowercased())),
      ("server", .string(report.target.address.description)),
      ("local", .optional(report.localAddress?.description)),
      ("mapped", .optional(report.mappedAddress?.description)), ("remappings", .whole(report.remappings)),
      ("series", series.json), ("tls", report.tls?.json(now: now) ?? .null),
    ]
    outcome.metrics =
      series.metrics("rtt", "Round trips of Binding requests.") + [
        Metric(name: "refused", help: "Requests answered with an error.", value: Double(series.refused))
      ] + (report.tls?.metrics ?? [])
  }
}
