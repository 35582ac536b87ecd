internal import ClientIO
internal import CommandLine
internal import JSON
internal import NetworkTypes

/// `stunclient security`.
enum SecurityCommand {
  static func run(_ job: Job) throws(UsageError) -> Outcome {
    try job.onEachFamily { (job, targets, outcome) throws(UsageError) in try run(job, targets, &outcome) }
  }

  private static func run(_ job: Job, _ targets: [ServerTarget], _ outcome: inout Outcome) throws(UsageError) {
    let arguments = job.arguments
    // Every address that may be checked must belong to the user.
    for target in targets { try OwnNetworks.demand(target.address.address, isOwner: arguments.isOwner) }
    if let report = try job.onEachAddress(
      targets, &outcome, verdict: \.failure,
      { SecurityCheck.run($0, $1, generator: Job.generator()) })
    {
      describe(report, arguments, &outcome)
    }
  }

  private static func describe(_ report: SecurityReport, _ arguments: ProbeRequest, _ outcome: inout Outcome) {
    outcome.family = report.target.address.family
    outcome.failure = report.verdict
    outcome.lines = ["\(report.target.uri) (\(report.target.address) over \(report.target.transport.label))"]
    outcome.lines += report.findings.map(line)
    let refused = report.findings.count { $0.verdict == .refused }
    let unknown = report.unknown.count
    let applicable = report.findings.count { $0.verdict != .notApplicable }
    outcome.lines.append("  \(refused) refused, \(report.letThrough.count) let through, \(unknown) unknown")
    outcome.summary = "\(report.target.address) refused \(refused) of \(applicable) checks, \(unknown) unknown"
    outcome.performance = [
      "let_through=\(report.letThrough.count);;;0;\(applicable)", "unknown=\(unknown);0;;0;\(applicable)",
    ]
    if unknown > 0, let first = report.unknown.first {
      outcome.warnings.append(
        "\(unknown) of \(applicable) checks have no result: \(first.check) \(first.subject): \(first.detail)")
    }
    if arguments.format == .ndjson {
      let family = ("family", JSONValue.string(report.target.address.family.key))
      for finding in report.findings { Output.write(NDJSON.line("finding", [family] + members(finding))) }
    }
    outcome.members = [
      ("transport", .string(report.target.transport.label.lowercased())),
      ("server", .string(report.target.address.description)), ("refused", .whole(refused)),
      ("let_through", .whole(report.letThrough.count)), ("unknown", .whole(unknown)),
      ("not_applicable", .whole(report.findings.count - applicable)),
      ("findings", .array(report.findings.map { .record(members($0)) })),
    ]
    outcome.metrics = [
      Metric(
        name: "let_through", help: "Checks that should be refused and were not.", value: Double(report.letThrough.count)
      ),
      Metric(name: "unknown", help: "Checks without a result.", value: Double(unknown)),
    ]
  }

  private static func line(_ finding: SecurityReport.Finding) -> String {
    let word =
      switch finding.verdict {
      case .refused: "refused       "
      case .letThrough: "LET THROUGH   "
      case .unknown: "can't tell    "
      case .notApplicable: "doesn't apply "
      }
    return "  \(word)\(finding.check.padded(to: 17))\(finding.subject): \(finding.detail)"
  }

  private static func members(_ finding: SecurityReport.Finding) -> [(String, JSONValue)] {
    [
      ("check", .string(finding.check)), ("subject", .string(finding.subject)),
      ("verdict", .string(finding.verdict.rawValue)), ("detail", .string(finding.detail)),
    ]
  }
}
