internal import ClientIO
internal import ClientPrograms
internal import JSON
internal import NetworkTypes

/// `stunclient security`.
enum SecurityCommand {
  static func run(_ job: Job) throws(UsageError) -> Outcome {
    var outcome = job.outcome
    let arguments = job.arguments
    guard let targets = job.targets(&outcome) else { return outcome }
    // One address: all of them are the same server's, and every one must be the user's own.
    for target in targets { try OwnNetworks.demand(target.address.address, isOwner: arguments.isOwner) }
    for target in targets {
      guard let options = try job.options(for: target) else { continue }
      let report = SecurityCheck.run(target, options, generator: Job.generator())
      let isNext = report.failure.map { [.refused, .unreachable].contains($0.reason) } ?? false
      if isNext, target != targets.last { continue }
      describe(report, arguments, &outcome)
      break
    }
    return outcome
  }

  private static func describe(_ report: SecurityReport, _ arguments: Arguments, _ outcome: inout Outcome) {
    outcome.failure = report.verdict
    outcome.lines = ["\(report.target.uri) (\(report.target.address) over \(report.target.transport.label))"]
    outcome.lines += report.findings.map(line)
    let refused = report.findings.count { $0.verdict == .refused }
    let unknown = report.findings.count { $0.verdict == .unknown }
    outcome.lines.append("  \(refused) refused, \(report.letThrough.count) let through, \(unknown) not told")
    outcome.summary = "\(report.target.address) refused \(refused) of \(report.findings.count) checks"
    outcome.performance = ["let_through=\(report.letThrough.count);;;0;\(report.findings.count)"]
    if arguments.format == .ndjson {
      for finding in report.findings { Output.write(Event.line("finding", members(finding))) }
    }
    outcome.members = [
      ("transport", .string(report.target.transport.label.lowercased())),
      ("server", .string(report.target.address.description)), ("refused", .whole(refused)),
      ("let_through", .whole(report.letThrough.count)), ("unknown", .whole(unknown)),
      ("findings", .array(report.findings.map { .record(members($0)) })),
    ]
    outcome.metrics = [
      Metric(
        name: "let_through", help: "Checks that should be refused and were not.", value: Double(report.letThrough.count)
      )
    ]
  }

  private static func line(_ finding: SecurityReport.Finding) -> String {
    let word =
      switch finding.verdict {
      case .refused: "refused     "
      case .letThrough: "LET THROUGH "
      case .unknown: "can't tell  "
      }
    return "  \(word)\(Decimal.padded(finding.check, 17))\(finding.subject): \(finding.detail)"
  }

  private static func members(_ finding: SecurityReport.Finding) -> [(String, JSONValue)] {
    [
      ("check", .string(finding.check)), ("subject", .string(finding.subject)),
      ("verdict", .string(finding.verdict.rawValue)), ("detail", .string(finding.detail)),
    ]
  }
}
