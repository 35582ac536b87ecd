/// One option of a program: the parser, the help, the manual and the shell completions are made from it.
///
/// - `Command`: the program's type of commands.
public struct Option<Command: Hashable & Sendable>: Sendable {
  /// The name as typed: `--count`, `-4`.
  public let name: String
  /// Other forms of the name: `-h`.
  public let shortForms: [String]
  /// The kind of the option's value.
  public let value: OptionValue
  /// The commands that take it.
  public let commands: Set<Command>
  /// The default, as the help shows it; nil if the help shows none.
  public let standard: String?
  /// One short sentence for help pages and completions, without a full stop.
  public let help: String
  /// The manual's text, in `ManualText`'s markup. Empty: the option shares an item with the next one.
  public let manual: String
  /// Names of the same option in other tools; the error message suggests this option for them.
  public let slips: [String]
  /// Options that exclude this one; zsh stops offering them.
  public let excludes: [String]
  /// Whether the option may be given several times.
  public let isRepeatable: Bool

  public init(
    _ name: String, shortForms: [String] = [], _ value: OptionValue = .none, for commands: Set<Command>,
    standard: String? = nil, help: String, manual: String = "", slips: [String] = [], excludes: [String] = [],
    isRepeatable: Bool = false
  ) {
    self.name = name
    self.shortForms = shortForms
    self.value = value
    self.commands = commands
    self.standard = standard
    self.help = help
    self.manual = manual
    self.slips = slips
    self.excludes = excludes
    self.isRepeatable = isRepeatable
  }

  /// Name and value as help pages show them: `--count N`, `--family 4|6`.
  public var label: String { value.placeholder.map { "\(name) \($0)" } ?? name }

  /// The help, followed by the default.
  public var helpWithDefault: String { standard.map { "\(help) (\($0))" } ?? help }
}

/// The unit in which a user writes a time.
public enum TimeUnit: Sendable, Equatable {
  /// With up to three decimals.
  case seconds
  /// With up to six decimals.
  case milliseconds

  var placeholder: String { self == .seconds ? "SECONDS" : "MS" }
  var decimals: Int { self == .seconds ? 3 : 6 }
  /// The time of the last decimal.
  var smallest: Duration { self == .seconds ? .milliseconds(1) : .nanoseconds(1) }
}

/// The kind of value that an option takes.
public enum OptionValue: Sendable, Equatable {
  /// Nothing: a flag.
  case none
  /// Free text, such as `NAME`.
  case text(String)
  /// Free text; a shell pipeline prints the candidates for completion, one a line.
  case listed(String, candidates: String)
  case file
  /// One of these words, in upper or lower case.
  case choice([String])
  /// A time in this unit.
  case time(TimeUnit, in: ClosedRange<Duration>)
  /// A decimal number in units of 10^-decimals.
  case number(String, decimals: Int, in: ClosedRange<UInt64>)

  /// A whole number.
  public static func whole(_ placeholder: String = "N", _ range: ClosedRange<UInt64>) -> OptionValue {
    .number(placeholder, decimals: 0, in: range)
  }

  /// Percent, in units of 10^-decimals; up to 100.
  public static func percent(decimals: Int) -> OptionValue {
    .number("PERCENT", decimals: decimals, in: 0...(decimals == 1 ? 1000 : 10_000))
  }

  /// The value's name on help pages; nil for a flag.
  public var placeholder: String? {
    switch self {
    case .none: nil
    case .text(let name), .listed(let name, _), .number(let name, _, _): name
    case .time(let unit, _): unit.placeholder
    case .file: "FILE"
    case .choice(let words): words.joined(separator: "|")
    }
  }
}
