/// The facts about a program that the shell completions and the manual need.
public struct Program<Command: Hashable & Sendable>: Sendable {
  /// A command: its word, its description and its operands.
  public struct CommandWord: Sendable {
    /// The word on the command line.
    public let word: String
    /// The program's value for the word.
    public let command: Command
    /// One line for completions.
    public let summary: String
    /// The kind of words that follow.
    public let operands: Operands

    public init(_ word: String, _ command: Command, _ summary: String, operands: Operands = .any) {
      self.word = word
      self.command = command
      self.summary = summary
      self.operands = operands
    }
  }

  /// The operands of a command.
  public enum Operands: Sendable, Equatable {
    case any
    case files
    /// One of these words.
    case words([String])
  }

  /// The program's name.
  public let name: String
  /// The commands, in the order of the completions.
  public let commands: [CommandWord]
  /// The beginnings of targets, which completions offer in place of a command: `turn:`.
  public let targets: [String]
  /// The commands whose options are offered while the line has no command.
  public let standardCommands: Set<Command>
  /// The program's options.
  public let table: OptionTable<Command>

  public init(
    name: String, commands: [CommandWord], targets: [String] = [], standardCommands: Set<Command>,
    table: OptionTable<Command>
  ) {
    self.name = name
    self.commands = commands
    self.targets = targets
    self.standardCommands = standardCommands
    self.table = table
  }

  /// The files generated from the table, by their paths in the repository. The manual's text outside the marked lines
  /// is kept.
  public func generatedFiles(manual: String) -> [(path: String, text: String)] {
    [
      ("docs/man/\(name).1", ManualText.insert(options: manualOptions, into: manual)),
      ("deploy/completions/bash/\(name)", bashCompletion),
      ("deploy/completions/zsh/_\(name)", zshCompletion),
      ("deploy/completions/fish/\(name).fish", fishCompletion),
    ]
  }

  var origin: String { "made by deploy/generate from the table of options; do not edit" }
}
