internal import ClientIO
internal import CommandLine
internal import JSON
internal import NetworkTypes
internal import System
internal import TURNClient

/// The result of a command, in each form of output.
struct Outcome: Sendable {
  var command: String
  var uri: String
  var failure: CheckFailure?
  /// One sentence for each threshold that was exceeded.
  var warnings: [String] = []
  /// Warnings that have a reason.
  var complaints: [CheckFailure] = []
  /// Hints about mistakes in the target's text.
  var hints: [String] = []
  var notes: [String] = []
  /// Text lines between the failure and the notes.
  var lines: [String] = []
  /// The line for monitoring: a summary, and `name=value` pairs.
  var summary = ""
  var performance: [String] = []
  /// Members of the JSON document after the common ones.
  var members: [(String, JSONValue)] = []
  /// The steps of the name's resolution.
  var trace: [ServerDiscovery.Trace] = []
  /// Values for Prometheus in addition to the verdict.
  var metrics: [Metric] = []
  /// The family of the checked address; nil if none was checked.
  var family: IPAddress.Family?
  /// The reason why this family was not checked.
  var skipped: String?
  /// The results of each family, if the target has addresses of both.
  var parts: [Outcome] = []

  init(command: String, uri: String, hints: [String] = []) {
    self.command = command
    self.uri = uri
    self.hints = hints
  }

  var status: ExitStatus { failure != nil ? .failed : allWarnings.isEmpty ? .good : .warning }

  /// All warnings, in one line each.
  var allWarnings: [String] { complaints.map { "\($0.message) [\($0.reason.rawValue)]" } + warnings }

  func write(_ arguments: ProbeRequest) throws(UsageError) -> ExitStatus {
    switch arguments.format {
    case .text where arguments.mode != nil:
      // Scripts read stuntman's lines from standard output: everything else goes to standard error.
      Output.write(lines.map { Style.plain($0) + "\n" }.joined())
      StandardStreams.writeError(verdictLines.map { $0 + "\n" }.joined())
    case .text: Output.write((arguments.isTraced ? trace.map { Style.plain($0.line) + "\n" }.joined() : "") + text)
    case .json: Output.write(json.encode(pretty: true) + "\n")
    case .ndjson: Output.write(event("result", document))
    case .check: Output.write(checkLine + "\n")
    }
    if let path = arguments.prometheus { try Prometheus.write([self], to: path) }
    return status
  }

  var text: String {
    let sections = parts.isEmpty ? [lines] : parts.map(\.lines).filter { !$0.isEmpty }
    let all = sections.joined(separator: [""]).map { Style.plain($0) } + verdictLines
    return all.map { $0 + "\n" }.joined()
  }

  /// The failure; with several families the first failure of each.
  private var failures: [CheckFailure] {
    guard !parts.isEmpty else { return failure.map { [$0] } ?? [] }
    return parts.compactMap { part in
      guard var failure = part.failure else { return nil }
      failure.message = "\(part.name): \(failure.message)"
      return failure
    }
  }

  /// Failures, warnings, notes and hints, with colours on a terminal.
  var verdictLines: [String] {
    var all: [String] = []
    for failure in failures {
      all.append(Style.red("failed: ") + Style.plain("\(failure.message) [\(failure.reason.rawValue)]"))
      if !failure.advice.isEmpty { all.append("  likely cause: " + Style.plain(failure.advice)) }
    }
    for complaint in complaints {
      all.append(Style.yellow("warning: ") + Style.plain("\(complaint.message) [\(complaint.reason.rawValue)]"))
      all.append("  likely cause: " + Style.plain(complaint.advice))
    }
    all += warnings.map { Style.yellow("warning: ") + Style.plain($0) }
    all += notes.map { "note: " + Style.plain($0) } + hints.map { "hint: " + Style.plain($0) }
    return all
  }

  /// One line without control characters. `|` separates text from figures, so each `|` in the text becomes `/`.
  var checkLine: String {
    let bad = failures.map { "\($0.message) [\($0.reason.rawValue)]" }
    // If one family failed, the line also has the result of the other.
    let good = bad.isEmpty || !parts.isEmpty ? [summary] + allWarnings : []
    let what = (bad + good).filter { !$0.isEmpty }.joined(separator: "; ")
    let figures = performance.isEmpty ? "" : " | " + performance.joined(separator: " ")
    // "Binding at …" already names the command.
    let subject = what.lowercased().hasPrefix(command + " ") ? "" : "\(command) "
    let safe = String(Style.plain(subject + what).map { $0 == "|" ? "/" : $0 })
    return "\(status.word): \(safe)\(figures)"
  }

  var json: JSONValue { .record(document) }

  var document: [(String, JSONValue)] {
    let common: [(String, JSONValue)] = [
      ("command", .string(command)), ("target", .string(uri)), ("status", .string(status.key)),
      ("exit_status", .whole(status.rawValue)), ("failure", Self.json(failure)), ("warnings", .strings(allWarnings)),
      ("warning_reasons", .strings(complaints.map(\.reason.rawValue))),
      ("notes", .strings(notes)), ("hints", .strings(hints)), ("resolution", .array(trace.map(\.json))),
      ("family", .optional(family?.key)),
    ]
    // `ping` uses one family; `decode` and `credentials` use none.
    let hasFamilies = [ProbeRequest.Command.binding, .relay, .nat, .security].contains { $0.rawValue == command }
    return common + (hasFamilies ? [("families", .array(parts.map(\.partJSON)))] : []) + members
  }

  /// The document of one family.
  private var partJSON: JSONValue {
    .record(
      [
        ("family", .optional(family?.key)), ("status", .string(skipped == nil ? status.key : "skipped")),
        ("failure", Self.json(failure)), ("warnings", .strings(allWarnings)),
        ("warning_reasons", .strings(complaints.map(\.reason.rawValue))),
        ("notes", .strings(notes + (skipped.map { [$0] } ?? []))),
      ] + members)
  }

  private static func json(_ failure: CheckFailure?) -> JSONValue {
    guard let failure else { return .null }
    return .record([
      ("reason", .string(failure.reason.rawValue)), ("message", .string(failure.message)),
      ("likely_cause", failure.advice.isEmpty ? .null : .string(failure.advice)),
    ])
  }

  func event(_ name: String, _ members: [(String, JSONValue)]) -> String { NDJSON.line(name, members) }
}

/// One line of `--ndjson`.
enum NDJSON {
  static func line(_ name: String, _ members: [(String, JSONValue)]) -> String {
    JSONValue.record([("event", .string(name))] + members).encode() + "\n"
  }
}

extension ServerDiscovery.Trace {
  /// `SRV _turn._udp.example.org: 10 0 3478 a.example.org`.
  var line: String { "resolve \(kind) \(name): \(failure?.words ?? answers.joined(separator: ", "))" }

  var json: JSONValue {
    .record([
      ("query", .string(kind)), ("name", .string(name)), ("answers", .strings(answers)),
      ("failure", .optional(failure?.words)),
    ])
  }
}
