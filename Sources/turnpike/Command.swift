internal import CommandLine
internal import Configuration
internal import TurnpikeServer

/// The commands of `turnpike`.
enum Command: String, CaseIterable {
  case serve, check, doctor, user, secret, credentials, `import`, version, help
  case oauthToken = "oauth-token"
  case status, sessions, kick, ban, drain, reload, upgrade, capture, demo

  func run(_ invocation: Invocation) throws(Failure) -> Int32 {
    switch self {
    case .serve, .demo: try runServer(invocation)
    case .check: try checkConfiguration(invocation)
    case .doctor: try examineHost(invocation)
    case .user: try manageUsers(invocation)
    case .secret: try manageSecrets(invocation)
    case .credentials: try printCredentials(invocation)
    case .import: try importConfiguration(invocation)
    case .oauthToken: try printAccessToken(invocation)
    case .version: try printVersion(invocation)
    case .help: try printHelp(invocation)
    case .status: try showStatus(invocation)
    case .sessions: try listSessions(invocation)
    case .kick: try endSession(invocation)
    case .ban: try manageBans(invocation)
    case .drain: try drainServer(invocation)
    case .reload: try reloadServer(invocation)
    case .capture: try captureMessages(invocation)
    case .upgrade: try upgradeServer(invocation)
    }
  }
}

/// One command with its options and operands.
struct Invocation {
  var command: Command
  var arguments: Arguments
  /// The words after the command.
  var operands: [String]

  /// The words after the command: exactly one for each of `names`.
  func operands(_ names: String...) throws(Failure) -> [String] {
    try operands(after: 0, names)
  }

  /// The words after a command of two words.
  func operands(after count: Int, _ names: [String]) throws(Failure) -> [String] {
    let given = operands.dropFirst(count)
    let command = ([command.rawValue] + operands.prefix(count)).joined(separator: " ")
    if given.count < names.count {
      throw .usage("\(command) needs \(names[given.count])", hint: "try: turnpike help \(self.command.rawValue)")
    }
    if given.count > names.count {
      let extra = given[given.startIndex + names.count]
      let takesFile = self.command == .serve
      throw .usage(
        "\(command) does not take \(extra.debugDescription)",
        hint: takesFile
          ? "name the configuration file with --config" : "try: turnpike help \(self.command.rawValue)")
    }
    return Array(given)
  }
}

private func checkConfiguration(_ invocation: Invocation) throws(Failure) -> Int32 {
  let namesFile =
    !invocation.arguments.has("--config") && !invocation.arguments.has("--coturn") && !invocation.operands.isEmpty
  _ = namesFile ? try invocation.operands("FILE") : try invocation.operands()
  let configuration = try invocation.configurationOfThisHost()
  for warning in configuration.warnings { writeProblem(warning) }
  try print(
    configuration.effectiveYAML(
      hasIPv6: ConfigurationRules.hasIPv6, showsSecrets: invocation.arguments.has("--show-secrets")))
  return 0
}

private func printVersion(_ invocation: Invocation) throws(Failure) -> Int32 {
  _ = try invocation.operands()
  try print("turnpike \(version)")
  return 0
}

private func printHelp(_ invocation: Invocation) throws(Failure) -> Int32 {
  guard let topic = invocation.operands.first else {
    try print(Command.overview)
    return 0
  }
  _ = try invocation.operands("COMMAND")
  if topic == "configuration" {
    try print(ConfigurationReference.text)
    return 0
  }
  if topic == "turnpike.yml" {
    try print(ConfigurationReference.manual)
    return 0
  }
  guard let command = Command(rawValue: topic) else {
    let topics = Command.allCases.map(\.rawValue) + ["configuration", "turnpike.yml"]
    throw .usage(
      "there is no command \(topic.debugDescription)", hint: nearest(topic, among: topics) ?? "try: turnpike help")
  }
  try print(command.help)
  return 0
}
