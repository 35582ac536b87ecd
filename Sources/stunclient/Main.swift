internal import ClientPrograms
internal import NetIO

/// The probe's entry: read the command line, run the check it asks for, write the result, say how it went.
@main
enum Main {
  static func main() {
    do {
      let arguments = try Arguments(CommandLine.arguments.dropFirst())
      let status = try run(arguments)
      if let error = Output.failure {
        StandardStreams.writeError("stunclient: standard output: \(error)\n")
        Environment.exit(ExitStatus.usage.rawValue)
      }
      Environment.exit(status.rawValue)
    } catch {
      let isCheck = CommandLine.arguments.contains("--check")
      // Messages quote files.
      let message = error.message.split(separator: "\n").map { Style.plain(String($0)) }.joined(separator: "\n")
      if isCheck { Output.write("UNKNOWN: \(Style.plain(error.message))\n") }
      StandardStreams.writeError("stunclient: \(message)\nstunclient: see stunclient --help\n")
      Environment.exit(ExitStatus.usage.rawValue)
    }
  }

  private static func run(_ arguments: Arguments) throws(UsageError) -> ExitStatus {
    switch arguments.command {
    case .help: Output.write(Usage.text(arguments.topic))
    case .version: Output.write("stunclient \(Usage.version)\n")
    case .credentials: Output.write(try CredentialsCommand.run(arguments))
    case .decode: return try DecodeCommand.run(arguments).write(arguments)
    case .binding, .relay, .nat, .ping, .security:
      if let path = arguments.iceServers { return try DeploymentCommand.run(arguments, path) }
      return try Job(arguments).run().write(arguments)
    }
    return .good
  }
}

extension Job {
  /// Runs the check.
  func run() throws(UsageError) -> Outcome {
    switch arguments.command {
    case .relay: return try RelayCommand.run(self)
    case .ping: return try PingCommand.run(self)
    case .nat: return try NATCommand.run(self)
    case .security: return try SecurityCommand.run(self)
    default: return try BindingCommand.run(self)
    }
  }
}
