internal import ClientIO
internal import ClientPrograms
internal import JSON
internal import NetIO
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
    let all = lines.map { Style.plain($0) } + verdictLines
    return all.map { $0 + "\n" }.joined()
  }

  /// What went wrong and what is worth knowing, in colours where there are any.
  var verdictLines: [String] {
    var all: [String] = []
    if let failure {
      all.append(Style.red("failed: ") + Style.plain("\(failure.message) [\(failure.reason.rawValue)]"))
      if !failure.advice.isEmpty { all.append("  likely cause: " + Style.plain(failure.advice)) }
    }
    all += warnings.map { Style.yellow("warning: ") + Style.plain($0) }
    all += notes.map { "note: " + Style.plain($0) } + hints.map { "hint: " + Style.plain($0) }
    return all
  }

  /// One line: nothing that a server sent can break out of it, and `|` separates text from figures.
  var checkLine: String {
    let what = failure.map { "\($0.message) [\($0.reason.rawValue)]" } ?? ([summary] + warnings).joined(separator: "; ")
    let figures = performance.isEmpty ? "" : " | " + performance.joined(separator: " ")
    let safe = String(Style.plain("\(command) \(what)").map { $0 == "|" ? "/" : $0 })
    return "\(status.word): \(safe)\(figures)"
  }

  var json: JSONValue { .record(document) }

  var document: [(String, JSONValue)] {
    var all: [(String, JSONValue)] = [
      ("command", .string(command)), ("target", .string(uri)), ("status", .string(status.key)),
      ("exit_status", .whole(status.rawValue)),
    ]
    if let failure {
      all.append(
        (
          "failure",
          .record([
            ("reason", .string(failure.reason.rawValue)), ("message", .string(failure.message)),
            ("likely_cause", failure.advice.isEmpty ? .null : .string(failure.advice)),
          ])
        ))
    } else {
      all.append(("failure", .null))
    }
    all += [
      ("warnings", .strings(warnings)), ("notes", .strings(notes)), ("hints", .strings(hints)),
      ("resolution", .array(trace.map(\.json))),
    ]
    return all + members
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
