internal import ClientPrograms
internal import NetworkTypes
internal import TURNClient

/// The command line, understood.
struct Arguments: Sendable {
  enum Command: String, CaseIterable, Sendable {
    case binding, relay, nat, ping, security, decode, credentials, help, version
  }

  enum Format {
    case text, json, ndjson, check
  }

  /// stuntman's `--mode`.
  enum Mode: String {
    case basic, behavior, filtering, full
  }

  var command = Command.help
  /// Whose help is asked for; nil: the overview.
  var topic: Command?
  var uri = ServerURI(scheme: .stun, host: .name("localhost"))
  /// `decode`'s and `credentials`' operands.
  var operands: [String] = []
  /// A file with an RTCConfiguration in place of a target.
  var iceServers: String?
  /// Whether the command was named, rather than guessed from the scheme.
  var isCommandNamed = false
  /// Whether the port stands in an operand of its own, as stuntman's client has it.
  var hasPortOperand = false
  /// Nil: what the URI says.
  var transport: TransportProtocol?
  var family: IPAddress.Family?
  var localAddress: String?
  var localPort: UInt16 = 0
  var relayFamily: IPAddress.Family?
  /// Nil: once, or without end for `ping`.
  var count: Int?
  /// Milliseconds; nil: the command's own.
  var interval: UInt32?
  var timeout: UInt32 = 10_000
  var credentials = CredentialSource(prefix: "STUNCLIENT", lifetime: 600)
  /// `security`: another user of the server.
  var second = SecondUserSource()
  var trust = TrustSource()
  var format = Format.text
  var prometheus: String?
  var thresholds = Thresholds()
  var mode: Mode?
  /// Seconds up to which the lifetime of a NAT's bindings is looked for; nil: not at all.
  var lifetime: UInt32?
  var timeToLive: UInt64 = 86_400
  var isOwner = false
  var nameServer: SocketAddress?
  var isTraced = false
  /// The options that were given, to be held against the command.
  var given: [String] = []

  /// What is good and what is a warning; nil: no such threshold.
  struct Thresholds: Sendable {
    /// Nanoseconds.
    var roundTrip: UInt64?
    /// Tenths of a percent.
    var loss: UInt64?
    var days: Int64?
  }

  init(_ words: some Sequence<String>) throws(UsageError) {
    var reader = WordReader(words)
    var positional: [String] = []
    var named: Command?
    var wantsHelp = false
    while let word = reader.next() {
      if reader.isOption(word) {
        if word == "--help" || word == "-h" {
          wantsHelp = true
        } else if word == "--version" {
          command = .version
          return
        } else {
          given.append(word)
          try read(word, from: &reader)
        }
      } else if positional.isEmpty, named == nil, let command = Command(rawValue: word), command != .version {
        named = command
      } else {
        positional.append(word)
      }
    }
    if named == .help, let word = positional.first, Command(rawValue: word) == nil {
      throw UsageError("help \(word): there is no such command\(Self.guess(word))")
    }
    if wantsHelp, named == nil, let word = positional.first, NearestName.looksLikeCommand(word) {
      throw UsageError("there is no command \"\(word)\"\(Self.guess(word))")
    }
    if wantsHelp || named == .help {
      topic = named == .help ? positional.first.flatMap { Command(rawValue: $0) } : named
      return
    }
    isCommandNamed = named != nil
    try take(positional, named)
    try check()
  }

  private mutating func take(_ words: [String], _ named: Command?) throws(UsageError) {
    switch named {
    case .decode, .credentials:
      command = named ?? .decode
      operands = words
    default:
      if iceServers != nil {
        guard words.isEmpty else { throw UsageError("--ice-servers and a TARGET: one of them") }
        command = named ?? .relay
        return
      }
      try takeTarget(words)
      command = named ?? defaultCommand
    }
  }

  /// A relay is checked as one unless stuntman's options ask for what stuntman does.
  private var defaultCommand: Command {
    if let mode { return mode == .basic ? .binding : .nat }
    return uri.scheme.isTURN ? .relay : .binding
  }

  /// The command that was probably meant, as a question.
  private static func guess(_ word: String) -> String {
    NearestName.question(word, among: Command.allCases.filter { $0 != .version }.map(\.rawValue))
  }

  private mutating func takeTarget(_ words: [String]) throws(UsageError) {
    guard let first = words.first else { throw UsageError("there is no TARGET") }
    // A mistyped command is a host like any other; but where it has a target behind it, it was meant for one.
    let guess = NearestName.looksLikeCommand(first) ? Self.guess(first) : ""
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

  /// Whether the command line may be a script's for stuntman's client, which talks to one address, of IPv4 unless it is
  /// told otherwise, and prints its lines once.
  var isStuntmans: Bool {
    mode != nil || (hasPortOperand && !isCommandNamed && command == .binding && format == .text)
  }

  /// Binding requests whose answers are kept.
  private static let bindingLimit = 1_000_000

  /// What fits together and what does not.
  private func check() throws(UsageError) {
    for option in given {
      guard let known = OptionTable.options[option], !known.contains(command) else { continue }
      let places = Command.allCases.filter { known.contains($0) }.map(\.rawValue).joined(separator: ", ")
      throw UsageError("\(option) is for \(places)")
    }
    if let mode, isCommandNamed, ![.binding, .nat].contains(command) {
      throw UsageError("--mode \(mode.rawValue) is for binding, nat")
    }
    if command == .binding || iceServers != nil, let count, count > Self.bindingLimit {
      throw UsageError(
        "--count \(count): binding keeps all of them, up to \(Self.bindingLimit); ping has no such limit")
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
    case .tls, .dtls: throw UsageError("NAT behaviour is asked for over UDP or TCP")
    }
  }
}
