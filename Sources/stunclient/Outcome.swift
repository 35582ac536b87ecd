internal import ClientIO
internal import JSON

/// The exit statuses that interface and monitoring systems agree on.
enum ExitStatus: Int32 {
  case good = 0
  case warning = 1
  case failed = 2
  case usage = 3

  /// As monitoring systems call it.
  var word: String {
    switch self {
    case .good: "OK"
    case .warning: "WARNING"
    case .failed: "CRITICAL"
    case .usage: "UNKNOWN"
    }
  }

  /// As the JSON document calls it.
  var key: String {
    switch self {
    case .good: "ok"
    case .warning: "warning"
    case .failed: "failed"
    case .usage: "usage"
    }
  }
}

/// What a command found, in each form that it can be written in.
struct Outcome {
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

  var status: ExitStatus { failure != nil ? .failed : warnings.isEmpty ? .good : .warning }

  func write(_ format: Arguments.Format) -> ExitStatus {
    switch format {
    case .text: Output.write(text)
    case .json: Output.write(json.encode(pretty: true) + "\n")
    case .check: Output.write(checkLine + "\n")
    }
    return status
  }

  private var text: String {
    var all = lines
    if let failure {
      all.append("failed: \(failure.message) [\(failure.reason.rawValue)]")
      if !failure.advice.isEmpty { all.append("  likely cause: \(failure.advice)") }
    }
    all += warnings.map { "warning: \($0)" } + notes.map { "note: \($0)" } + hints.map { "hint: \($0)" }
    return all.map { Self.printable($0) + "\n" }.joined()
  }

  /// One line: nothing that a server sent can break out of it, and `|` separates text from figures.
  var checkLine: String {
    let what = failure.map { "\($0.message) [\($0.reason.rawValue)]" } ?? ([summary] + warnings).joined(separator: "; ")
    let figures = performance.isEmpty ? "" : " | " + performance.joined(separator: " ")
    let safe = String(Self.printable("\(command) \(what)").map { $0 == "|" ? "/" : $0 })
    return "\(status.word): \(safe)\(figures)"
  }

  private var json: JSONValue {
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
    all += [("warnings", .strings(warnings)), ("notes", .strings(notes)), ("hints", .strings(hints))]
    return .record(all + members)
  }

  /// Control characters of what a server sent must not reach a terminal.
  private static func printable(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      result.append(scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) ? "?" : scalar)
    }
    return String(result)
  }
}
