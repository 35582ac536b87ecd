internal import ClientIO
internal import CommandLine
internal import JSON
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURNClient

/// `--ice-servers`: checks every URL of a deployment in parallel, with one verdict for each.
enum DeploymentCommand {
  /// Number of checks that run in parallel.
  private static let parallel = 16

  static func run(_ arguments: ProbeRequest, _ path: String) throws(UsageError) -> ExitStatus {
    let servers = try IceServerList.read(path)
    var common = try Job(arguments)
    try common.options.trust(arguments.trust, for: servers.flatMap { arguments.transports(of: $0.uri) })
    let jobs = servers.map { job($0, common) }
    let outcomes = try runAll(jobs)
    let worst = outcomes.map(\.status).max() ?? .failed
    switch arguments.format {
    case .text: Output.write(text(outcomes, isTraced: arguments.isTraced))
    case .json: Output.write(document(outcomes, worst).encode(pretty: true) + "\n")
    case .ndjson: Output.write(NDJSON.line("summary", summary(outcomes, worst)))
    case .check: Output.write(line(outcomes, worst) + "\n")
    }
    if let path = arguments.prometheus { try Prometheus.write(outcomes, to: path) }
    return worst
  }

  /// The check of one server; everything else comes from `common`.
  private static func job(_ server: IceServer, _ common: Job) -> Job {
    var job = common
    job.arguments.uri = server.uri
    job.label = server.uri.description + " "
    job.interruption = nil
    if !job.arguments.isCommandNamed { job.arguments.command = server.uri.scheme.isTURN ? .relay : .binding }
    if let credential = server.credential {
      job.options.credential = credential
      job.options.hasSecret = false
      job.secret = nil
      job.oddity = CredentialSource.oddity("the credential", credential.password)
    }
    return job
  }

  // MARK: - Parallel checks

  private final class Results: Sendable {
    let outcomes: Mutex<[Int: Result<Outcome, UsageError>]> = Mutex([:])
    let next = Atomic(0)
  }

  private static func runAll(_ jobs: [Job]) throws(UsageError) -> [Outcome] {
    let results = Results()
    var threads: [System.Thread] = []
    for index in 0..<min(parallel, jobs.count) {
      do {
        threads.append(try System.Thread(name: "check-\(index)") { work(jobs, results) })
      } catch {
        // Threads that could be started do all the work; without any, this thread does it.
        if threads.isEmpty { work(jobs, results) }
        break
      }
    }
    for thread in threads { thread.join() }
    let found = results.outcomes.withLock { $0 }
    var outcomes: [Outcome] = []
    for index in jobs.indices {
      switch found[index] {
      case .success(let outcome)?: outcomes.append(outcome)
      case .failure(let error)?: throw error
      case nil: throw UsageError("a check did not run")
      }
    }
    return outcomes
  }

  private static func work(_ jobs: [Job], _ results: Results) {
    while true {
      let index = results.next.add(1, ordering: .relaxed).oldValue
      guard index < jobs.count else { return }
      let result: Result<Outcome, UsageError>
      do throws(UsageError) {
        let outcome = try jobs[index].run()
        if jobs[index].arguments.format == .ndjson { Output.write(outcome.event("result", outcome.document)) }
        result = .success(outcome)
      } catch {
        result = .failure(error)
      }
      results.outcomes.withLock { $0[index] = result }
    }
  }

  // MARK: - The results

  private static func text(_ outcomes: [Outcome], isTraced: Bool) -> String {
    var lines: [String] = []
    for outcome in outcomes {
      let word: String
      switch outcome.status {
      case .good: word = Style.green("ok     ")
      case .warning: word = Style.yellow("warning")
      case .failed, .usage: word = Style.red("FAILED ")
      }
      lines.append(
        "\(word)  \(Style.plain(outcome.uri))  \(Style.plain(outcome.failure == nil || !outcome.parts.isEmpty ? outcome.summary : ""))"
      )
      if isTraced { lines += outcome.trace.map { "         " + Style.plain($0.line) } }
      lines += outcome.verdictLines.map { "         " + $0 }
    }
    let good = outcomes.count { $0.failure == nil }
    lines.append("\(good) of \(outcomes.count) URLs work")
    return lines.map { $0 + "\n" }.joined()
  }

  private static func summary(_ outcomes: [Outcome], _ worst: ExitStatus) -> [(String, JSONValue)] {
    [
      ("command", "ice-servers"), ("status", .string(worst.key)), ("exit_status", .whole(worst.rawValue)),
      ("urls", .whole(outcomes.count)), ("good", .whole(outcomes.count { $0.failure == nil })),
    ]
  }

  private static func document(_ outcomes: [Outcome], _ worst: ExitStatus) -> JSONValue {
    .record(summary(outcomes, worst) + [("servers", .array(outcomes.map(\.json)))])
  }

  private static func line(_ outcomes: [Outcome], _ worst: ExitStatus) -> String {
    let good = outcomes.count { $0.failure == nil }
    let bad = outcomes.filter { $0.status != .good }
      .map { outcome in
        let what = outcome.failure.map { "[\($0.reason.rawValue)]" } ?? outcome.allWarnings.joined(separator: ", ")
        return "\(outcome.uri) \(what)"
      }
    let text = String(
      (["\(good) of \(outcomes.count) URLs work"] + bad).joined(separator: "; ").map { $0 == "|" ? "/" : $0 })
    let figures = "good=\(good);;;0;\(outcomes.count) failed=\(outcomes.count - good);;;0;\(outcomes.count)"
    return "\(worst.word): ice-servers \(Style.plain(text)) | \(figures)"
  }
}
