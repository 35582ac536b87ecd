internal import ClientIO
internal import ClientPrograms
internal import JSON
internal import NetIO
internal import NetworkTypes
internal import TURNClient

/// `stunclient ping`: Binding requests until somebody has seen enough.
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
      target.target, target.options, count: arguments.count, interval: arguments.interval ?? 1000,
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
    job.noteFamily(target.target.address.family, among: target.all, &outcome)
    return outcome
  }

  /// How long an address has to answer, where there are others, in milliseconds.
  private static let trialTimeout: UInt32 = 1500

  /// The address that is asked, and all that the target has.
  private struct Choice {
    var target: ServerTarget
    var options: CheckOptions
    var all: [ServerTarget]
  }

  /// The first address that answers; where none does, the first one, whose trouble is then seen.
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

  /// One line that is written over and over; what is not an ordinary answer stays.
  private static func live(_ event: PingCheck.Event, _ requests: borrowing PingRequests) -> String {
    // A line that is too long for the terminal is cut there and not continued, or it would not be written over.
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
    if series.received > 0 {
      text +=
        ", min \(Decimal.milliseconds(series.minimum)), mean \(Decimal.milliseconds(series.mean)), "
        + "max \(Decimal.milliseconds(series.maximum)), jitter \(Decimal.milliseconds(series.jitter)) ms"
    }
    return text + "\u{1B}[?7h"
  }

  private static func json(_ event: PingCheck.Event, _ arguments: Arguments) -> String {
    func members(_ number: Int) -> [(String, JSONValue)] {
      [("target", .string(arguments.uri.description)), ("sequence", .whole(number + 1))]
    }
    switch event {
    case .answer(let number, let roundTrip):
      return Event.line("answer", members(number) + [("rtt_ms", .milliseconds(roundTrip))])
    case .refused(let number, let failure):
      return Event.line("refused", members(number) + [("reason", .string(failure.reason.rawValue))])
    case .duplicate(let number): return Event.line("duplicate", members(number))
    case .late(let number): return Event.line("late", members(number))
    case .lost(let number): return Event.line("lost", members(number))
    }
  }

  // MARK: - The summary

  private static func describe(_ report: PingReport, _ arguments: Arguments, _ outcome: inout Outcome) {
    let series = report.series
    let now = Int64(clamping: Now.read().wallSeconds)
    outcome.failure = report.failure
    outcome.lines = series.sent > 0 ? series.lines("requests") : []
    if let local = report.localAddress, let mapped = report.mappedAddress {
      outcome.lines.append("  addresses        local \(local), mapped \(mapped)")
    }
    if report.remappings > 0 {
      outcome.notes.append("the mapped address changed \(report.remappings) times: a NAT forgets, or balances")
    }
    let loss = series.lossPerMille ?? 0
    let statistics = Statistics(series.roundTrips)
    if let statistics {
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
      if let threshold = arguments.thresholds.roundTrip, statistics.percentile(50) > threshold {
        outcome.warnings.append("the median round trip is \(median) ms, over \(arguments.roundTripLimit) ms")
      }
    }
    if let threshold = arguments.thresholds.loss, loss > threshold {
      outcome.warnings.append("\(Decimal.text(loss, 1)) % of the requests were lost, over \(arguments.lossLimit) %")
    }
    if let refusal = report.refusal, outcome.failure == nil {
      outcome.warnings.append("\(series.refused) of \(series.sent) requests were refused; the last: \(refusal.message)")
    }
    if let warning = report.tls?.warning(minimumDays: arguments.thresholds.days, now: now) {
      outcome.warnings.append(warning)
    }
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
