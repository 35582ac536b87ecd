internal import NetIO

/// The probe's entry: read the command line, run the check it asks for, write the result, say how it went.
@main
enum Main {
  static func main() {
    do {
      let arguments = try Arguments(CommandLine.arguments.dropFirst())
      switch arguments.command {
      case .help: Output.write(Usage.text)
      case .version: Output.write("stunclient \(Usage.version)\n")
      case .binding:
        let outcome = try BindingCommand.run(arguments)
        Environment.exit(outcome.write(arguments.format).rawValue)
      case .relay:
        let outcome = try RelayCommand.run(arguments)
        Environment.exit(outcome.write(arguments.format).rawValue)
      }
    } catch {
      let isCheck = CommandLine.arguments.contains("--check")
      if isCheck { Output.write("UNKNOWN: \(error.message)\n") }
      StandardStreams.writeError("stunclient: \(error.message)\nstunclient: see stunclient --help\n")
      Environment.exit(ExitStatus.usage.rawValue)
    }
  }
}

/// Standard output. A reader that went away is no error here: there is nobody left to tell.
enum Output {
  static func write(_ text: String) { try? StandardStreams.write(text) }
}

/// Wrong usage: the command line, the environment, or a file that it names.
struct UsageError: Error {
  let message: String

  init(_ message: String) { self.message = message }
}
