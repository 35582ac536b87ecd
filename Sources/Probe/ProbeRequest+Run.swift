package import CommandLine

extension ProbeRequest {
  /// Runs the command, writes its result and returns the exit status.
  package func run() throws(UsageError) -> ExitStatus {
    switch command {
    case .help, .version: break
    case .credentials: Output.write(try CredentialsCommand.run(self))
    case .decode: return try DecodeCommand.run(self).write(self)
    case .binding, .relay, .nat, .ping, .security:
      if let iceServers { return try DeploymentCommand.run(self, iceServers) }
      return try Job(self).run().write(self)
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
