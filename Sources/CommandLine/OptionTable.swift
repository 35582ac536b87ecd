internal import StringPreparation

/// Every option of a program, in the order and under the headings of its manual.
public struct OptionTable<Command: Hashable & Sendable>: Sendable {
  /// Options under one heading of the manual.
  public struct Section: Sendable {
    /// The heading of the manual's subsection.
    public let heading: String
    /// The options in the order of the manual.
    public let options: [Option<Command>]

    public init(_ heading: String, _ options: [Option<Command>]) {
      self.heading = heading
      self.options = options
    }
  }

  /// The sections in the order of the manual.
  public let sections: [Section]
  /// The prefix of the program's environment variables: `STUNCLIENT`. Nil: the program takes no password or secret.
  public let environmentPrefix: String?
  private let byName: [String: Option<Command>]

  public init(environmentPrefix: String? = nil, _ sections: [Section]) {
    self.environmentPrefix = environmentPrefix
    self.sections = sections
    var byName: [String: Option<Command>] = [:]
    for option in sections.flatMap(\.options) {
      for name in [option.name] + option.shortForms { byName[name] = option }
    }
    self.byName = byName
  }

  /// The options of all sections.
  public var options: [Option<Command>] { sections.flatMap(\.options) }

  /// The option of that name or short form.
  public subscript(name: String) -> Option<Command>? { byName[name] }

  /// The options of a command, in the order of the manual.
  public func options(of command: Command) -> [Option<Command>] { options.filter { $0.commands.contains(command) } }

  // MARK: - Unknown options

  /// The message for an option that the program does not have.
  public func unknown(_ word: String) -> String { "unknown option \(Self.shown(word))\(question(word))" }

  /// Shortens an option for messages: a password may follow the letter ("-wsecret").
  private static func shown(_ word: String) -> String {
    word.hasPrefix("--") || word.count <= 2 ? word : "\(word.prefix(2))…"
  }

  /// The option that was probably meant: one with this name in other tools, or one that differs by a letter or two.
  private func question(_ word: String) -> String {
    let word = word.hasPrefix("--") ? word : String(word.prefix(2))
    if let environmentPrefix {
      switch word {
      case "--password", "--pass", "--passwd", "--pw", "--pwd", "-p", "-w", "-P":
        return ": a command line is no place for a password: use --password-file or \(environmentPrefix)_PASSWORD"
      case "--secret", "--auth-secret", "--static-auth-secret":
        return ": a command line is no place for a secret: use --secret-file or \(environmentPrefix)_SECRET"
      default: break
      }
    }
    if let option = options.first(where: { $0.slips.contains(word) }) { return ": did you mean \(option.name)?" }
    return Guess.question(word, among: options.map(\.name))
  }
}

/// Suggestions for a mistyped command or option.
public enum Guess {
  /// ": did you mean relay?", or nothing if no candidate is near.
  public static func question(_ word: String, among candidates: some Sequence<String>) -> String {
    NearestWord.find(word, among: candidates.sorted(), tolerance: .strict).map { ": did you mean \($0)?" } ?? ""
  }

  /// Whether an unknown word looks like a mistyped command and not like a host.
  public static func looksLikeCommand(_ word: String) -> Bool {
    word != "localhost" && !word.isEmpty
      && word.utf8.allSatisfy { byte in
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || byte == UInt8(ascii: "-")
      }
  }
}
