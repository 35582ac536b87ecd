internal import ClientPrograms
internal import JSON
internal import LoadGeneration
internal import NetIO
internal import NetworkTypes

/// The generator's entry: read the command line, run the load, write the result, say how it went.
@main
enum Main {
  static func main() {
    do throws(UsageError) {
      let arguments = try Arguments(CommandLine.arguments.dropFirst())
      switch arguments.command {
      case .help: write(Usage.text)
      case .version: write("turnload \(Usage.version)\n")
      case .load(let work):
        let settings = try Preparation.settings(arguments, work)
        Environment.exit(run(settings, arguments).rawValue)
      }
    } catch {
      StandardStreams.writeError("turnload: \(error.message)\nturnload: see turnload --help\n")
      Environment.exit(ExitStatus.usage.rawValue)
    }
  }

  private static func run(_ settings: LoadSettings, _ arguments: Arguments) -> ExitStatus {
    var result: LoadResult?
    var failure: String?
    var watcher = Watcher()
    failure = Preparation.refusal(arguments, settings)
    if failure == nil {
      do throws(LoadError) {
        result = try LoadGenerator.run(settings) { watcher.show($0) }
      } catch {
        failure = error.description
      }
    }
    watcher.clear()
    let report = Report(
      settings: settings, target: "\(arguments.uri)", maximumLoss: arguments.maximumLoss, result: result,
      failure: failure)
    if arguments.isJSON {
      write(report.json.encode(pretty: true) + "\n")
    } else if let failure {
      StandardStreams.writeError("turnload: \(failure)\n")
    } else {
      write(report.text)
    }
    return report.status
  }

  /// A reader that went away is no error here: there is nobody left to tell.
  private static func write(_ text: String) { try? StandardStreams.write(text) }
}

/// One line on a terminal that tells how far it has come.
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
        "\r\u{1B}[K\(progress.done) done, \(rate) a second, \(progress.lost) under way or lost")
    }
    last = progress
  }

  func clear() { if isWatched, last != nil { StandardStreams.writeError("\r\u{1B}[K") } }
}
