internal import ClientPrograms
internal import LoadGeneration
internal import NetworkTypes
internal import TURNClient

/// The command line, understood.
struct Arguments {
  enum Command: Equatable {
    case help, version
    case load(LoadSettings.Work)
  }

  var command = Command.load(.relay)
  var uri = ServerURI(scheme: .turn, host: .name("localhost"))
  /// Nil: what the URI says.
  var transport: TransportProtocol?
  var direction: LoadSettings.Direction?
  var pace: LoadSettings.Pace?
  var usesIndications = false
  var size: Int?
  var allocations: Int?
  var burst = 1
  /// Milliseconds.
  var duration: UInt32 = 5_000
  var warmUp: UInt32 = 300
  var segments = false
  var coalesces = false
  /// Hundredths of a percent.
  var maximumLoss: UInt64?
  var serverProcess: Int?
  var serverHelpers: [Int] = []
  var serverCore: Int?
  var credentials = CredentialSource(prefix: "TURNLOAD", lifetime: 86_400)
  var trust = TrustSource()
  var isOwner = false
  var isJSON = false

  init(_ words: some Sequence<String>) throws(UsageError) {
    var words = Array(words)[...]
    var positional: [String] = []
    var hasCommand = false
    var wantsHelp = false
    while let word = words.popFirst() {
      // A host of that name is written stun:help.
      if word == "--help" || word == "-h" || (word == "help" && positional.isEmpty && !hasCommand) {
        wantsHelp = true
        continue
      }
      if word == "--version" {
        command = .version
        return
      }
      if word.hasPrefix("--") {
        try read(word, from: &words)
      } else if word.hasPrefix("-"), word != "-" {
        throw UsageError(Self.unknown(word))
      } else if positional.isEmpty, !hasCommand, let work = LoadSettings.Work(rawValue: word) {
        command = .load(work)
        hasCommand = true
      } else {
        positional.append(word)
      }
    }
    let guess =
      positional.first.map {
        NearestName.looksLikeCommand($0) && !hasCommand
          ? NearestName.question($0, among: LoadSettings.Work.allCases.map(\.rawValue)) : ""
      } ?? ""
    if let first = positional.first, !hasCommand,
      wantsHelp ? NearestName.looksLikeCommand(first) : positional.count > 1 && !guess.isEmpty
    {
      throw UsageError("there is no command \"\(first)\"\(guess)")
    }
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

  private mutating func read(_ word: String, from words: inout ArraySlice<String>) throws(UsageError) {
    let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let option = parts[0]
    if readFlag(option) {
      if parts.count == 2 { throw UsageError("\(option) takes no value") }
      return
    }
    guard Self.valued.contains(option) else { throw UsageError(Self.unknown(option)) }
    guard let value = parts.count == 2 ? parts[1] : words.popFirst() else {
      throw UsageError("\(option) needs a value")
    }
    try take(option, value)
  }

  private mutating func readFlag(_ option: String) -> Bool {
    switch option {
    case "--indications": usesIndications = true
    case "--gso": segments = true
    case "--gro": coalesces = true
    case "--insecure": trust.isInsecure = true
    case "--i-own-this-server": isOwner = true
    case "--json": isJSON = true
    case "--search": pace = .search
    default: return false
    }
    return true
  }

  private static func unknown(_ option: String) -> String {
    "unknown option \(option)\(NearestName.question(option, among: options.union(["--help", "--version"])))"
  }

  static var options: Set<String> { valued.union(flags) }

  private static let flags: Set = [
    "--indications", "--gso", "--gro", "--insecure", "--i-own-this-server", "--json", "--search",
  ]

  private static let valued: Set = [
    "--transport", "--direction", "--size", "--allocations", "--burst", "--window", "--rate", "--duration", "--warm-up",
    "--max-loss", "--server-pid", "--server-core", "--username", "--password-file", "--secret-file",
    "--oauth-token-file", "--ca",
  ]

  private mutating func take(_ option: String, _ value: String) throws(UsageError) {
    switch option {
    case "--transport":
      switch value {
      case "udp": transport = .udp
      case "tcp": transport = .tcp
      case "tls": transport = .tls
      case "dtls": transport = .dtls
      default: throw UsageError("--transport \(value): udp, tcp, tls or dtls")
      }
    case "--direction":
      guard let known = LoadSettings.Direction(rawValue: value) else {
        throw UsageError("--direction \(value): to-peer, to-client or echo")
      }
      direction = known
    case "--size": size = Int(try number(option, value, in: 16...1400))
    case "--allocations": allocations = Int(try number(option, value, in: 1...65_536))
    case "--burst": burst = Int(try number(option, value, in: 1...64))
    case "--window": pace = .window(Int(try number(option, value, in: 1...1_000_000)))
    case "--rate": pace = .rate(try number(option, value, in: 1...100_000_000))
    case "--duration": duration = UInt32(try number(option, value, decimals: 3, in: 100...86_400_000))
    case "--warm-up": warmUp = UInt32(try number(option, value, decimals: 3, in: 0...3_600_000))
    case "--max-loss": maximumLoss = try number(option, value, decimals: 2, in: 0...10_000)
    case "--server-pid":
      var processes: [Int] = []
      for word in value.split(separator: ",", omittingEmptySubsequences: false) {
        processes.append(Int(try number(option, String(word), in: 1...4_194_304)))
      }
      serverProcess = processes.first
      serverHelpers = Array(processes.dropFirst())
    case "--server-core": serverCore = Int(try number(option, value, in: 0...8191))
    case "--username": credentials.username = value
    case "--password-file": credentials.passwordFile = value
    case "--secret-file": credentials.secretFile = value
    case "--oauth-token-file": credentials.tokenFile = value
    default: trust.authorities = value
    }
  }

  private func number(
    _ option: String, _ text: String, decimals: Int = 0, in range: ClosedRange<UInt64>
  ) throws(UsageError) -> UInt64 {
    try WordReader.number(option, text, decimals: decimals, in: range)
  }

  /// What fits together and what does not.
  private func check() throws(UsageError) {
    guard case .load(let work) = command else { return }
    let transport = transport ?? uri.transport
    if direction != nil, work != .relay { throw UsageError("--direction is for relay") }
    if pace != nil, [.allocate, .hold].contains(work) {
      throw UsageError("\(work.rawValue) has no pace of packets")
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
