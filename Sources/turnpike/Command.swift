internal import Configuration

/// What `turnpike` can be told to do.
enum Command: String, CaseIterable {
  case serve, check, user, secret, credentials, version, help
  case oauthToken = "oauth-token"
  /// Words that are kept for features which this version does not have.
  case `import`, status, sessions, drain, kick

  var options: Set<Option> {
    switch self {
    case .user: [.config, .set, .help, .realm, .passwordFromInput]
    case .secret: [.config, .set, .help, .realm, .secretFromInput]
    case .credentials: [.config, .set, .help, .realm, .user, .timeToLive]
    case .oauthToken: [.config, .set, .help, .realm, .keyID, .timeToLive]
    case .serve, .check, .version, .help, .import, .status, .sessions, .drain, .kick:
      [.config, .set, .help]
    }
  }

  var isMissing: Bool {
    switch self {
    case .import, .status, .sessions, .drain, .kick: true
    case .serve, .check, .user, .secret, .credentials, .oauthToken, .version, .help: false
    }
  }

  func run(_ invocation: Invocation) throws(Failure) -> Int32 {
    switch self {
    case .serve: try runServer(invocation)
    case .check: try checkConfiguration(invocation)
    case .user: try manageUsers(invocation)
    case .secret: try manageSecrets(invocation)
    case .credentials: try printCredentials(invocation)
    case .oauthToken: try printAccessToken(invocation)
    case .version: try printVersion(invocation)
    case .help: try printHelp(invocation)
    case .import, .status, .sessions, .drain, .kick:
      throw .failed("this version of turnpike does not have the command \(rawValue)")
    }
  }
}

/// One command with its options and operands.
struct Invocation {
  var command: Command
  var arguments: Arguments
  /// The words after the command.
  var operands: [String]

  /// The words after the command, of which there must be as many as it has `names`.
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
      throw .usage(
        "\(command) does not take \(extra.debugDescription)", hint: "try: turnpike help \(self.command.rawValue)")
    }
    return Array(given)
  }
}

private func checkConfiguration(_ invocation: Invocation) throws(Failure) -> Int32 {
  _ = try invocation.operands()
  let configuration = try invocation.configuration()
  for warning in configuration.warnings { writeProblem(warning) }
  try print(configuration.settings.effectiveYAML)
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
    try print(Command.reference)
    return 0
  }
  guard let command = Command(rawValue: topic) else {
    let topics = Command.allCases.map(\.rawValue) + ["configuration"]
    throw .usage(
      "there is no command \(topic.debugDescription)", hint: nearest(topic, among: topics) ?? "try: turnpike help")
  }
  try print(command.help)
  return 0
}
