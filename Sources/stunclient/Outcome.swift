internal import ClientIO
internal import ClientPrograms
internal import JSON
internal import NetIO
internal import NetworkTypes
internal import TURNClient

/// What a command found, in each form that it can be written in.
struct Outcome: Sendable {
  var command: String
  var uri: String
  var failure: CheckFailure?
  /// Thresholds that were passed, in words.
  var warnings: [String] = []
  /// How the target was written, and what else is worth knowing.
  var hints: [String] = []
  var notes: [String] = []
  /// Lines for people, between the failure and the notes.
  var lines: [String] = []
  /// What stands in the one line for monitoring: what was found, and `name=value` pairs.
  var summary = ""
  var performance: [String] = []
  /// Members of the JSON document behind the common ones.
  var members: [(String, JSONValue)] = []
  /// How the name became addresses.
  var trace: [ServerDiscovery.Trace] = []
  /// What Prometheus gets beside the verdict.
  var metrics: [Metric] = []
  /// The family of the address that was checked; nil: none was.
  var family: IPAddress.Family?
  /// Why this family was not checked.
  var skipped: String?
  /// One for each family, where the target has addresses of both.
  var parts: [Outcome] = []

  init(command: String, uri: String, hints: [String] = []) {
    self.command = command
    self.uri = uri
    self.hints = hints
  }

  var status: ExitStatus { failure != nil ? .failed : warnings.isEmpty ? .good : .warning }

  func write(_ arguments: Arguments) throws(UsageError) -> ExitStatus {
    switch arguments.format {
    case .text where arguments.mode != nil:
      // stuntman's lines are read by scripts: what else there is to say goes elsewhere.
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

  /// What failed; with several families the first failure of each.
  private var failures: [CheckFailure] {
    guard !parts.isEmpty else { return failure.map { [$0] } ?? [] }
    return parts.compactMap { part in
      guard var failure = part.failure else { return nil }
      failure.message = "\(part.name): \(failure.message)"
      return failure
    }
  }

  /// What went wrong and what is worth knowing, in colours where there are any.
  var verdictLines: [String] {
    var all: [String] = []
    for failure in failures {
      all.append(Style.red("failed: ") + Style.plain("\(failure.message) [\(failure.reason.rawValue)]"))
      if !failure.advice.isEmpty { all.append("  likely cause: " + Style.plain(failure.advice)) }
    }
    all += warnings.map { Style.yellow("warning: ") + Style.plain($0) }
    all += notes.map { "note: " + Style.plain($0) } + hints.map { "hint: " + Style.plain($0) }
    return all
  }

  /// One line: nothing that a server sent can break out of it, and `|` separates text from figures.
  var checkLine: String {
    let bad = failures.map { "\($0.message) [\($0.reason.rawValue)]" }
    // Beside the failure of one family stands what the other is like.
    let good = bad.isEmpty || !parts.isEmpty ? [summary] + warnings : []
    let what = (bad + good).filter { !$0.isEmpty }.joined(separator: "; ")
    let figures = performance.isEmpty ? "" : " | " + performance.joined(separator: " ")
    let safe = String(Style.plain("\(command) \(what)").map { $0 == "|" ? "/" : $0 })
    return "\(status.word): \(safe)\(figures)"
  }

  var json: JSONValue { .record(document) }

  var document: [(String, JSONValue)] {
    let common: [(String, JSONValue)] = [
      ("command", .string(command)), ("target", .string(uri)), ("status", .string(status.key)),
      ("exit_status", .whole(status.rawValue)), ("failure", Self.json(failure)), ("warnings", .strings(warnings)),
      ("notes", .strings(notes)), ("hints", .strings(hints)), ("resolution", .array(trace.map(\.json))),
      ("family", .optional(family?.key)),
    ]
    // A continuous ping is of one way; what is decoded or made has none.
    let hasFamilies = [Arguments.Command.binding, .relay, .nat, .security].contains { $0.rawValue == command }
    return common + (hasFamilies ? [("families", .array(parts.map(\.partJSON)))] : []) + members
  }

  /// One of the families.
  private var partJSON: JSONValue {
    .record(
      [
        ("family", .optional(family?.key)), ("status", .string(skipped == nil ? status.key : "skipped")),
        ("failure", Self.json(failure)), ("warnings", .strings(warnings)),
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

  func event(_ name: String, _ members: [(String, JSONValue)]) -> String { Event.line(name, members) }
}

/// One line of `--ndjson`.
enum Event {
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
