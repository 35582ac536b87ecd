internal import NetworkTypes
internal import TURNClient

/// The command line, understood.
struct Arguments {
  enum Command: String {
    case binding, relay, help, version
  }

  enum Format {
    case text, json, check
  }

  var command = Command.help
  var uri = ServerURI(scheme: .stun, host: .name("localhost"))
  /// Nil: what the URI says.
  var transport: TransportProtocol?
  var family: IPAddress.Family?
  var relayFamily: IPAddress.Family?
  var count = 1
  /// Milliseconds.
  var interval: UInt32 = 1000
  var timeout: UInt32 = 10_000
  var username: String?
  var passwordFile: String?
  var secretFile: String?
  var authorities: String?
  var isInsecure = false
  var format = Format.text
  var thresholds = Thresholds()

  /// What is good and what is a warning; nil: no such threshold.
  struct Thresholds {
    /// Nanoseconds.
    var roundTrip: UInt64?
    /// Tenths of a percent.
    var loss: UInt64?
    var days: Int64?
  }

  /// Commands of this program's plan that this version does not have.
  private static let unbuilt = ["nat", "ping", "security", "decode", "credentials"]

  init(_ words: some Sequence<String>) throws(UsageError) {
    var reader = WordReader(words)
    var positional: [String] = []
    var named: Command?
    while let word = reader.next() {
      if reader.isOption(word) {
        if try read(word, from: &reader) { return }
      } else if positional.isEmpty, named == nil, let command = Command(rawValue: word), command != .version {
        named = command
      } else if positional.isEmpty, named == nil, Self.unbuilt.contains(word) {
        throw UsageError("\"\(word)\" is not built into this version yet (a host of that name is written stun:\(word))")
      } else {
        positional.append(word)
      }
    }
    guard named != .help else { return }
    try takeTarget(positional)
    command = named ?? (uri.scheme.isTURN ? .relay : .binding)
    try check()
  }

  private mutating func takeTarget(_ words: [String]) throws(UsageError) {
    guard let first = words.first else { throw UsageError("there is no TARGET") }
    guard words.count <= 2 else { throw UsageError("\"\(words[2])\" is one word too many") }
    do { uri = try ServerURI(parsing: first) } catch { throw UsageError("\(first): \(error)") }
    guard words.count == 2 else { return }
    guard let port = UInt16(decimalDigits: words[1]), port > 0 else {
      throw UsageError("\"\(words[1])\" is no port (1 to 65535)")
    }
    guard uri.port == nil || uri.port == port else { throw UsageError("two different ports are given") }
    uri.port = port
  }

  /// What fits together and what does not.
  private func check() throws(UsageError) {
    if command == .relay, count != 1 { throw UsageError("--count is for binding") }
    if authorities != nil, isInsecure { throw UsageError("--ca and --insecure contradict each other") }
    if passwordFile != nil, secretFile != nil { throw UsageError("--password-file and --secret-file: one of them") }
    if passwordFile == "-", secretFile == "-" { throw UsageError("standard input can be read once only") }
  }
}

/// Hands out the words of a command line: `--name=value` in two, and nothing after `--` as an option.
struct WordReader {
  private var words: [String]
  private var index = 0
  private var attached: String?
  private var isPastOptions = false

  init(_ words: some Sequence<String>) { self.words = Array(words) }

  mutating func next() -> String? {
    guard index < words.count else { return nil }
    let word = words[index]
    index += 1
    if word == "--", !isPastOptions {
      isPastOptions = true
      return next()
    }
    if !isPastOptions, word.hasPrefix("--"), let mark = word.firstIndex(of: "=") {
      attached = String(word[word.index(after: mark)...])
      return String(word[..<mark])
    }
    return word
  }

  func isOption(_ word: String) -> Bool { !isPastOptions && word.hasPrefix("-") && word != "-" }

  /// The value of the option that was read last.
  mutating func value(of option: String) throws(UsageError) -> String {
    if let value = attached {
      attached = nil
      return value
    }
    guard index < words.count else { throw UsageError("\(option) needs a value") }
    index += 1
    return words[index - 1]
  }

  /// Refuses `--json=yes`.
  mutating func finish(_ option: String) throws(UsageError) {
    if attached != nil { throw UsageError("\(option) takes no value") }
  }
}
