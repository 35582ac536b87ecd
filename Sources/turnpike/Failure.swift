internal import Configuration

/// Why a command did not do what it was asked for, and the exit status that says so.
enum Failure: Error {
  /// Wrong usage: 64.
  case wrongUsage(String)
  /// A wrong configuration: 78. Every problem, warnings among them.
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

func nearest(_ word: String, among candidates: [String]) -> String? {
  NearestWord.find(word, among: candidates).map { "did you mean \($0)?" }
}
