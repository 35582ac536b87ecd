internal import CommandLine
internal import JSON
internal import LoadGeneration
internal import NetworkTypes
internal import System

/// Reads the command line, runs the load, writes the result and sets the exit status.
@main
enum Main {
  static func main() {
    do throws(UsageError) {
      let arguments = try Arguments(CommandLine.arguments.dropFirst())
      switch arguments.command {
      case .help: exit(writing: Usage.text, .good)
      case .version: exit(writing: "turnload \(version)\n", .good)
      case .load(let work): run(try Preparation.plan(arguments, work), arguments)
      }
    } catch {
      StandardStreams.writeError("turnload: \(error.message)\nturnload: see turnload --help\n")
      Environment.exit(ExitStatus.usage.rawValue)
    }
  }

  private static func run(_ plan: Preparation.Plan, _ arguments: Arguments) -> Never {
    var result: LoadResult?
    var failure = plan.failure ?? Preparation.refusal(arguments, plan.settings).map { Failure($0) }
    var watcher = Watcher()
    if failure == nil {
      do throws(LoadError) {
        result = try LoadGenerator.run(plan.settings) { watcher.show($0) }
      } catch {
        failure = Failure(error, plan.settings)
      }
    }
    watcher.clear()
    let report = Report(
      settings: plan.settings, target: "\(arguments.uri)", maximumLoss: arguments.maximumLoss, result: result,
      failure: failure)
    if arguments.isJSON { exit(writing: report.json.encode(pretty: true) + "\n", report.status) }
    guard let failure else { exit(writing: report.text, report.status) }
    let cause = failure.likelyCause.map { "turnload: likely cause: \($0)\n" } ?? ""
    StandardStreams.writeError("turnload: \(failure.message)\n" + cause)
    Environment.exit(report.status.rawValue)
  }

  /// Writes and exits. A failed write is a failure, except for a closed pipe.
  private static func exit(writing text: String, _ status: ExitStatus) -> Never {
    Output.write(text)
    if let error = Output.failure {
      StandardStreams.writeError("turnload: standard output: \(error)\n")
      Environment.exit(ExitStatus.usage.rawValue)
    }
    Environment.exit(status.rawValue)
  }
}

/// Shows the progress on one line of a terminal.
struct Watcher {
  private let isWatched = StandardStreams.isErrorTerminal
  private var last: LoadProgress?

  mutating func show(_ progress: LoadProgress) {
    guard isWatched else { return }
    if let last {
      let elapsed = Double(max(progress.now.nanoseconds(since: last.now), 1))
      let done = progress.done >= last.done ? progress.done - last.done : 0
      let rate = Int64(Double(done) * 1e9 / elapsed)
      StandardStreams.writeError(
        "\r\u{1B}[K\(progress.done) done, \(rate) a second, \(progress.lost) in flight or lost")
    }
    last = progress
  }

  func clear() { if isWatched, last != nil { StandardStreams.writeError("\r\u{1B}[K") } }
}
