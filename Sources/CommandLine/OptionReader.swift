internal import NetworkTypes

/// Reads the words of a command line: options may stand anywhere, `--name=value` and `--name value` mean the same, and
/// words after `--` are no options.
public struct OptionReader<Command: Hashable & Sendable> {
  /// A part of the command line.
  public enum Item: Sendable {
    case word(String)
    case option(GivenOption<Command>)
  }

  private let table: OptionTable<Command>
  private var rest: ArraySlice<String>
  private var isPastOptions = false

  public init(_ words: some Sequence<String>, _ table: OptionTable<Command>) {
    self.table = table
    rest = Array(words)[...]
  }

  /// The next option or word; nil at the end.
  public mutating func next() throws(UsageError) -> Item? {
    guard let word = rest.popFirst() else { return nil }
    if isPastOptions || !word.hasPrefix("-") || word == "-" { return .word(word) }
    if word == "--" {
      isPastOptions = true
      return try next()
    }
    var name = word
    var attached: String?
    if word.hasPrefix("--"), let mark = word.firstIndex(of: "=") {
      name = String(word[..<mark])
      attached = String(word[word.index(after: mark)...])
    }
    guard let option = table[name] else { throw UsageError(table.unknown(name)) }
    guard let placeholder = option.value.placeholder else {
      if attached != nil { throw UsageError("\(option.name) takes no value") }
      return .option(GivenOption(option: option, text: ""))
    }
    guard let value = attached ?? rest.popFirst() else {
      throw UsageError("\(option.name) needs a value: \(placeholder)")
    }
    return .option(GivenOption(option: option, text: value))
  }
}

/// An option on the command line, with its value.
public struct GivenOption<Command: Hashable & Sendable>: Sendable {
  /// The option in the table.
  public let option: Option<Command>
  /// The value as typed; empty for a flag.
  public let text: String

  public init(option: Option<Command>, text: String) {
    self.option = option
    self.text = text
  }

  /// The option's name in the table.
  public var name: String { option.name }

  /// The value as a number in the unit and range of the table.
  public func number() throws(UsageError) -> UInt64 { try number(of: text) }

  /// A part of the value as a number in the unit and range of the table.
  public func number(of text: String) throws(UsageError) -> UInt64 {
    guard case .number(_, let decimals, let range) = option.value else { throw UsageError("\(name) takes no number") }
    return try read(text, decimals, range)
  }

  /// The value as a time in the range of the table.
  public func duration() throws(UsageError) -> Duration {
    guard case .time(let unit, let range) = option.value else { throw UsageError("\(name) takes no time") }
    func count(_ time: Duration) -> UInt64 { UInt64((time / unit.smallest).rounded()) }
    return unit.smallest * (try read(text, unit.decimals, count(range.lowerBound)...count(range.upperBound)))
  }

  private func read(_ text: String, _ decimals: Int, _ range: ClosedRange<UInt64>) throws(UsageError) -> UInt64 {
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let fraction = parts.count == 2 ? String(parts[1]) : ""
    let digits = parts[0] + fraction + String(repeating: "0", count: max(decimals - fraction.utf8.count, 0))
    guard parts[0].utf8.count > 0, parts.count == 1 || !fraction.isEmpty, fraction.utf8.count <= decimals,
      let value = UInt64(decimalDigits: digits), range.contains(value)
    else {
      throw UsageError(
        "\(name) \(text): write a number from \(Decimal.text(range.lowerBound, decimals)) to "
          + Decimal.text(range.upperBound, decimals))
    }
    return value
  }

  /// The value as one of the words of the table; `aliases` maps other words to them.
  public func choice(aliases: [String: String] = [:]) throws(UsageError) -> String {
    guard case .choice(let words) = option.value else { return text }
    let word = text.lowercased()
    let meant = aliases[word] ?? word
    guard words.contains(meant) else {
      let list = words.dropLast().joined(separator: ", ") + " or " + (words.last ?? "")
      throw UsageError("\(name) \(text): write \(list)")
    }
    return meant
  }
}
