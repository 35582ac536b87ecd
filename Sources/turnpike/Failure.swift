internal import Configuration
internal import StringPreparation

/// The reason why a command failed, which decides the exit status.
enum Failure: Error {
  /// Wrong usage: 64.
  case wrongUsage(String)
  /// A wrong configuration: 78. The list has every problem, warnings too.
  case wrongConfiguration([ConfigurationProblem])
  /// Anything else: 1.
  case failed(String)

  static func usage(_ message: String, hint: String) -> Failure { .wrongUsage("\(message); \(hint)") }

  var status: Int32 {
    switch self {
    case .wrongUsage: 64
    case .wrongConfiguration: 78
    case .failed: 1
    }
  }

  /// One text for each problem.
  var problems: [String] {
    switch self {
    case .wrongUsage(let message), .failed(let message): [message]
    case .wrongConfiguration(let problems): problems.filter { $0.severity == .error }.map(\.description)
    }
  }

  /// Whole lines for standard error.
  var text: String {
    switch self {
    case .wrongUsage(let message), .failed(let message): "turnpike: \(message)\n"
    case .wrongConfiguration(let problems): problems.map(line).joined()
    }
  }
}

/// One problem as a line for standard error.
func line(_ problem: ConfigurationProblem) -> String {
  "turnpike: \(problem.severity == .error ? "error" : "warning"): \(problem)\n"
}

extension Invocation {
  /// The subcommand that the first operand names.
  func subcommand<Verb: RawRepresentable<String> & CaseIterable>(_ verbs: Verb.Type) throws(Failure) -> Verb {
    let words = Verb.allCases.map(\.rawValue)
    let help = "try: turnpike help \(command.rawValue)"
    guard let word = operands.first else {
      throw .usage("\(command.rawValue) needs one of \(words.joined(separator: ", "))", hint: help)
    }
    guard let verb = Verb(rawValue: word) else {
      throw .usage(
        "\(command.rawValue) has no command \(word.debugDescription)", hint: nearest(word, among: words) ?? help)
    }
    return verb
  }
}

/// The hint for a mistyped word; nil if no candidate is near enough.
func nearest(_ word: String, among candidates: [String]) -> String? {
  NearestWord.find(word, among: candidates).map { "did you mean \($0)?" }
}
