internal import Configuration
internal import JSON
internal import System
internal import TurnpikeServer

/// `turnpike doctor`: examines this host. Exit status: 0 good, 1 a warning, 2 something failed.
func examineHost(_ invocation: Invocation) throws(Failure) -> Int32 {
  _ = try invocation.operands()
  var findings: [Doctor.Finding]
  do throws(Failure) {
    let configuration = try invocation.configuration()
    findings = Doctor.examine(configuration.settings, environment: Environment.variables())
    findings += configuration.warnings.map { Doctor.Finding($0, .warning) }
  } catch {
    guard case .wrongConfiguration(let problems) = error else { throw error }
    // Without settings there is nothing to examine.
    findings = problems.map { Doctor.Finding($0, $0.severity == .error ? .failed : .warning) }
  }
  let worst = findings.map(\.verdict).max() ?? .good
  try print(invocation.arguments.has("--json") ? json(findings, worst) : text(findings, worst))
  switch worst {
  case .good: return 0
  case .warning: return 1
  case .failed: return 2
  }
}

extension Doctor.Finding {
  /// A problem of the configuration.
  fileprivate init(_ problem: ConfigurationProblem, _ verdict: Doctor.Verdict) {
    self.init("configuration", verdict, "\(problem)", remedy: problem.suggestion ?? "correct it")
  }
}

private func json(_ findings: [Doctor.Finding], _ worst: Doctor.Verdict) -> String {
  let list = findings.map { finding -> JSONValue in
    [
      "area": .string(finding.area), "verdict": .string(finding.verdict.rawValue), "text": .string(finding.text),
      "remedy": finding.remedy.map { .string($0) } ?? .null,
    ]
  }
  let document: JSONValue = ["verdict": .string(worst.rawValue), "findings": .array(list)]
  return document.encode()
}

private func text(_ findings: [Doctor.Finding], _ worst: Doctor.Verdict) -> String {
  let width = findings.map(\.area.count).max() ?? 0
  var lines: [String] = []
  for finding in findings {
    let area = finding.area + String(repeating: " ", count: width - finding.area.count)
    let verdict = finding.verdict.rawValue + String(repeating: " ", count: 7 - finding.verdict.rawValue.count)
    lines.append("\(verdict)  \(area)  \(finding.text)")
    if let remedy = finding.remedy { lines.append(String(repeating: " ", count: width + 11) + "-> \(remedy)") }
  }
  let counts = Doctor.Verdict.allCases.map { verdict in
    "\(findings.count { $0.verdict == verdict }) \(verdict == .warning ? "warnings" : verdict.rawValue)"
  }
  return (lines + ["", counts.joined(separator: ", ")]).joined(separator: "\n")
}
