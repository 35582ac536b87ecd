internal import CommandLine
internal import Probe
internal import StringPreparation
internal import System

/// Reads the command line, runs the command, and sets the exit status.
@main
enum Main {
  static func main() {
    do throws(UsageError) {
      let target = Environment.variables()["STUNCLIENT_TARGET"].flatMap { $0.isEmpty ? nil : $0 }
      let arguments = try Arguments(CommandLine.arguments.dropFirst(), target: target)
      let status = try run(arguments)
      if let error = Output.failure {
        StandardStreams.writeError("stunclient: standard output: \(error)\n")
        Environment.exit(ExitStatus.usage.rawValue)
      }
      Environment.exit(status.rawValue)
    } catch {
      let isCheck = CommandLine.arguments.contains("--check")
      // Messages can quote a file's text, so control characters are removed.
      let message = error.message.split(separator: "\n").map { String($0).withoutControls }.joined(separator: "\n")
      if isCheck { Output.write("UNKNOWN: \(error.message.withoutControls)\n") }
      StandardStreams.writeError("stunclient: \(message)\nstunclient: see stunclient --help\n")
      Environment.exit(ExitStatus.usage.rawValue)
    }
  }

  private static func run(_ arguments: Arguments) throws(UsageError) -> ExitStatus {
    switch arguments.command {
    case .help: Output.write(Usage.text(arguments.topic))
    case .version: Output.write("stunclient \(version)\n")
    default: return try arguments.run()
    }
    return .good
  }
}
