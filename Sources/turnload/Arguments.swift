internal import Probe
internal import CommandLine
internal import LoadGeneration
internal import NetworkTypes
internal import TURNClient

/// The parsed command line.
struct Arguments {
  enum Command: Equatable {
    case help, version
    case load(LoadSettings.Work)
  }

  var command = Command.load(.relay)
  var uri = ServerURI(scheme: .turn, host: .name("localhost"))
  /// Nil: the URI chooses.
  var transport: TransportProtocol?
  var direction: LoadSettings.Direction?
  var pace: LoadSettings.Pace?
  var usesIndications = false
  var size: Int?
  var allocations: Int?
  var burst = 1
  /// The length of the measurement, and of the warm-up before it, which is not measured.
  var duration = Duration.seconds(5)
  var warmUp = Duration.milliseconds(300)
  var segments = false
  var coalesces = false
  /// `--max-loss`, in hundredths of a percent.
  var maximumLoss: UInt64?
  var serverProcess: Int?
  var serverHelpers: [Int] = []
  var serverCore: Int?
  var credentials = CredentialSource(prefix: "TURNLOAD", lifetime: .seconds(86_400))
  var trust = TrustSource()
  var isOwner = false
  var isJSON = false

  init(_ words: some Sequence<String>) throws(UsageError) {
    var reader = OptionReader(words, Self.table)
    var positional: [String] = []
    var hasCommand = false
    var wantsHelp = false
    while let item = try reader.next() {
      switch item {
      case .option(let option) where option.name == "--help": wantsHelp = true
      case .option(let option) where option.name == "--version":
        command = .version
        return
      case .option(let option): try take(option)
      // A host named "help" is written stun:help.
      case .word("help") where positional.isEmpty && !hasCommand: wantsHelp = true
      case .word(let word):
        if positional.isEmpty, !hasCommand, let work = LoadSettings.Work(rawValue: word) {
          command = .load(work)
          hasCommand = true
        } else {
          positional.append(word)
        }
      }
    }
    if wantsHelp || !positional.isEmpty { try checkCommand(positional, hasCommand, wantsHelp) }
    if wantsHelp {
      command = .help
      return
    }
    if command == .load(.floor), positional.isEmpty { positional = ["127.0.0.1"] }
    guard let target = positional.first else { throw UsageError("there is no TARGET") }
    guard positional.count == 1 else { throw UsageError("\"\(ServerURI.masked(positional[1]))\" is one word too many") }
    do { uri = try ServerURI(parsing: target) } catch { throw UsageError("\(ServerURI.masked(target)): \(error)") }
    try check()
  }

  /// Refuses a first word that is probably a mistyped command.
  private func checkCommand(_ words: [String], _ hasCommand: Bool, _ wantsHelp: Bool) throws(UsageError) {
    guard let first = words.first, !hasCommand, Guess.looksLikeCommand(first) else { return }
    let guess = Guess.question(first, among: LoadSettings.Work.allCases.map(\.rawValue))
    guard wantsHelp || (words.count > 1 && !guess.isEmpty) else { return }
    throw UsageError("there is no command \"\(first)\"\(guess)")
  }

  private mutating func take(_ given: GivenOption<LoadSettings.Work>) throws(UsageError) {
    switch given.name {
    case "--indications": usesIndications = true
    case "--gso": segments = true
    case "--gro": coalesces = true
    case "--json": isJSON = true
    case "--search": pace = .search
    case "--transport":
      switch try given.choice() {
      case "udp": transport = .udp
      case "tcp": transport = .tcp
      case "tls": transport = .tls
      default: transport = .dtls
      }
    case "--direction": direction = LoadSettings.Direction(rawValue: try given.choice())
    case "--size": size = Int(try given.number())
    case "--allocations": allocations = Int(try given.number())
    case "--burst": burst = Int(try given.number())
    case "--window": pace = .window(Int(try given.number()))
    case "--rate": pace = .rate(try given.number())
    case "--duration": duration = try given.duration()
    case "--warm-up": warmUp = try given.duration()
    case "--max-loss": maximumLoss = try given.number()
    case "--server-pid":
      var processes: [Int] = []
      for word in given.text.split(separator: ",", omittingEmptySubsequences: false) {
        processes.append(Int(try given.number(of: String(word))))
      }
      serverProcess = processes.first
      serverHelpers = Array(processes.dropFirst())
    case "--server-core": serverCore = Int(try given.number())
    default: takeCredentials(given)
    }
  }

  private mutating func takeCredentials(_ given: GivenOption<LoadSettings.Work>) {
    switch given.name {
    case "--username": credentials.username = given.text
    case "--password-file": credentials.passwordFile = given.text
    case "--secret-file": credentials.secretFile = given.text
    case "--oauth-token-file": credentials.tokenFile = given.text
    case "--ca": trust.authorities = given.text
    case "--insecure": trust.isInsecure = true
    case "--certificate": trust.certificate = given.text
    case "--private-key": trust.privateKey = given.text
    case "--i-own-this-server": isOwner = true
    default: assertionFailure("an option of the table without a case: \(given.name)")
    }
  }

  /// Refuses options that contradict each other or do not belong to the command.
  private func check() throws(UsageError) {
    guard case .load(let work) = command else { return }
    let transport = transport ?? uri.transport
    if direction != nil, work != .relay { throw UsageError("--direction is for relay") }
    if pace != nil, [.allocate, .hold].contains(work) {
      throw UsageError("--window, --rate and --search are not for \(work.rawValue)")
    }
    if let pace, work == .floor {
      guard case .rate = pace else { throw UsageError("floor takes --rate only") }
    }
    if usesIndications, work != .relay, work != .relayToRelay { throw UsageError("--indications is for relays") }
    if work == .relayToRelay, (allocations ?? 2) % 2 != 0 { throw UsageError("relay-to-relay needs pairs") }
    if segments || coalesces {
      guard transport == .udp else { throw UsageError("--gso and --gro are for UDP") }
      guard work == .relay || work == .relayToRelay else { throw UsageError("--gso and --gro are for relays") }
    }
    try trust.check()
    try credentials.check()
  }
}
