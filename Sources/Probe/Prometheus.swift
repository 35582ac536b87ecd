internal import ClientIO
internal import CommandLine
internal import NetworkTypes
internal import System

/// One value for Prometheus.
struct Metric: Sendable {
  /// The name without the prefix `stunclient_` and with its unit.
  var name: String
  var help: String
  var labels: [(String, String)] = []
  var value: Double
}

/// The text format that node_exporter's textfile collector reads.
enum Prometheus {
  /// Writes the results of several checks to a file, atomically: a reader sees the old file or the new one.
  static func write(_ outcomes: [Outcome], to path: String) throws(UsageError) {
    let text = text(outcomes, time: Now.read().wall)
    do { try Files.writeAtomically(Array(text.utf8), to: path, mode: 0o644, followsLinks: true) } catch {
      throw UsageError("\(path): \(error)")
    }
  }

  static func text(_ outcomes: [Outcome], time: UnixTime) -> String {
    var families: [(name: String, help: String, lines: [String])] = []
    var seen: [[String]: Int] = [:]
    let repeated = Dictionary(outcomes.map { ([$0.command, $0.uri], 1) }, uniquingKeysWith: +).filter { $0.value > 1 }
    for outcome in outcomes {
      // A deployment may have one URL for several users: an index keeps the labels of two series different.
      let key = [outcome.command, outcome.uri]
      seen[key, default: 0] += 1
      let index = repeated[key] == nil ? [] : [("index", String(seen[key, default: 1]))]
      for metric in verdict(outcome, time) + outcome.metrics {
        let labels = [("command", outcome.command), ("target", outcome.uri)] + index + metric.labels
        let list = labels.map { "\($0.0)=\"\(escaped($0.1))\"" }.joined(separator: ",")
        let line = "stunclient_\(metric.name){\(list)} \(number(metric.value))"
        if let index = families.firstIndex(where: { $0.name == metric.name }) {
          families[index].lines.append(line)
        } else {
          families.append((metric.name, metric.help, [line]))
        }
      }
    }
    return families.map { family in
      "# HELP stunclient_\(family.name) \(family.help)\n# TYPE stunclient_\(family.name) gauge\n"
        + family.lines.map { $0 + "\n" }.joined()
    }.joined()
  }

  private static func verdict(_ outcome: Outcome, _ time: UnixTime) -> [Metric] {
    var metrics = [
      Metric(name: "success", help: "Whether the check succeeded.", value: outcome.failure == nil ? 1 : 0),
      Metric(
        name: "exit_status", help: "0 good, 1 a warning threshold was exceeded, 2 failed.",
        value: Double(outcome.status.rawValue)),
      Metric(name: "last_run_timestamp_seconds", help: "When the check ended.", value: Double(time.seconds)),
    ]
    if let failure = outcome.failure {
      metrics.append(
        Metric(
          name: "failure_info", help: "Why the check failed.", labels: [("reason", failure.reason.rawValue)], value: 1))
    }
    // Two series must not have the same labels.
    for reason in Set(outcome.complaints.map(\.reason.rawValue)).sorted() {
      metrics.append(
        Metric(name: "warning_info", help: "Why there is a warning.", labels: [("reason", reason)], value: 1))
    }
    return metrics
  }

  private static func escaped(_ text: String) -> String {
    Style.plain(text).map { $0 == "\\" ? "\\\\" : $0 == "\"" ? "\\\"" : String($0) }.joined()
  }

  private static func number(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : "\(value)"
  }
}
