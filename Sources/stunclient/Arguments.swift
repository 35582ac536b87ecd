internal import CommandLine
internal import NetworkTypes
internal import Probe
internal import TURNClient

typealias Arguments = ProbeRequest

/// Reading the command line.
extension ProbeRequest {
  /// Reads `words`. `target` is the server of a command line that names none: STUNCLIENT_TARGET.
  init(_ words: some Sequence<String>, target: String? = nil) throws(UsageError) {
    self.init()
    var reader = OptionReader(words, Self.table)
    var positional: [String] = []
    var named: Command?
    var wantsHelp = false
    while let item = try reader.next() {
      switch item {
      case .option(let option) where option.name == "--help": wantsHelp = true
      case .option(let option) where option.name == "--version":
        command = .version
        return
      case .option(let option):
        given.append(option.name)
        try take(option)
      case .word(let word):
        if positional.isEmpty, named == nil, let command = Command(rawValue: word), command != .version {
          named = command
        } else {
          positional.append(word)
        }
      }
    }
    if named == .help, let word = positional.first, Command(rawValue: word) == nil {
      throw UsageError("help \(word): there is no such command\(Self.guess(word))")
    }
    if wantsHelp, named == nil, let word = positional.first, Guess.looksLikeCommand(word) {
      throw UsageError("there is no command \"\(word)\"\(Self.guess(word))")
    }
    if wantsHelp || named == .help {
      topic = named == .help ? positional.first.flatMap { Command(rawValue: $0) } : named
      return
    }
    isCommandNamed = named != nil
    try take(positional, named, target)
    try check()
  }

  private mutating func take(_ words: [String], _ named: Command?, _ target: String?) throws(UsageError) {
    switch named {
    case .decode, .credentials:
      command = named ?? .decode
      operands = words
    default:
      if iceServers != nil {
        guard words.isEmpty else { throw UsageError("--ice-servers and a TARGET: give only one") }
        command = named ?? .relay
        return
      }
      try takeTarget(words.isEmpty ? [target].compactMap(\.self) : words)
      command = named ?? defaultCommand
    }
  }

  /// The command of a command line without one: `relay` for turn: and turns:, else `binding`; with --mode, stuntman's.
  private var defaultCommand: Command {
    if let mode { return mode == .basic ? .binding : .nat }
    return uri.scheme.isTURN ? .relay : .binding
  }

  /// The hint "did you mean …?" for a mistyped command.
  private static func guess(_ word: String) -> String {
    Guess.question(word, among: Command.allCases.filter { $0 != .version }.map(\.rawValue))
  }

  private mutating func takeTarget(_ words: [String]) throws(UsageError) {
    guard let first = words.first else { throw UsageError("there is no TARGET") }
    // A mistyped command looks like a host name. If a target follows, the user meant a command.
    let guess = Guess.looksLikeCommand(first) ? Self.guess(first) : ""
    if words.count >= 2, !guess.isEmpty, UInt16(decimalDigits: words[1]) == nil {
      throw UsageError("there is no command \"\(first)\"\(guess)")
    }
    guard words.count <= 2 else { throw UsageError("\"\(ServerURI.masked(words[2]))\" is one word too many") }
    do { uri = try ServerURI(parsing: first) } catch { throw UsageError("\(ServerURI.masked(first)): \(error)") }
    if !guess.isEmpty { uri.hints.append("\"\(first)\" is taken for a host\(guess)") }
    guard words.count == 2 else { return }
    guard let port = UInt16(decimalDigits: words[1]), port > 0 else {
      throw UsageError("\"\(ServerURI.masked(words[1]))\" is no port (1 to 65535)")
    }
    guard uri.port == nil || uri.port == port else { throw UsageError("two different ports are given") }
    uri.port = port
    hasPortOperand = true
  }

  /// Upper limit of `--count` for binding, which keeps every answer in memory.
  private static let bindingLimit = 1_000_000

  /// Refuses options that contradict each other or do not belong to the command.
  private func check() throws(UsageError) {
    for option in given {
      guard let known = Self.table[option]?.commands, !known.contains(command) else { continue }
      let commands = Command.allCases.filter { known.contains($0) }.map(\.rawValue).joined(separator: ", ")
      throw UsageError("\(option) is for \(commands)")
    }
    if let mode, isCommandNamed, ![.binding, .nat].contains(command) {
      throw UsageError("--mode \(mode.rawValue) is for binding, nat")
    }
    if command == .binding || iceServers != nil, let count, count > Self.bindingLimit {
      throw UsageError(
        "--count \(count): binding keeps all answers, up to \(Self.bindingLimit); ping has no such limit")
    }
    if iceServers != nil, ![.binding, .relay].contains(command) {
      throw UsageError("--ice-servers is for binding, relay")
    }
    if iceServers != nil, localPort != 0 {
      throw UsageError("--localport is for one TARGET: the checks of --ice-servers run at the same time")
    }
    if command == .security, localPort != 0 {
      throw UsageError("--localport is not for security, which has several sockets; --localaddr is")
    }
    if command == .nat { try checkNAT() }
    try trust.check()
    try credentials.check()
    let secrets = [credentials.passwordFile, credentials.secretFile, credentials.tokenFile, second.passwordFile]
    let inputs = secrets.count { $0 == "-" }
    if inputs > 0 {
      guard inputs == 1, iceServers != "-", !(command == .decode && (operands.isEmpty || operands == ["-"])) else {
        throw UsageError("standard input can be read once only")
      }
    }
  }

  /// Over TCP a NAT's mapping can be tested, and nothing else (RFC 5780 sections 4.3 to 4.6).
  private func checkNAT() throws(UsageError) {
    switch transport ?? uri.transport {
    case .udp: break
    case .tcp:
      if mode == .filtering { throw UsageError("--mode filtering is for UDP: over TCP filtering can't be tested") }
      if lifetime != nil { throw UsageError("--lifetime is for UDP") }
    case .tls, .dtls: throw UsageError("NAT behaviour can be tested over UDP or TCP only")
    }
  }
}
