internal import NetworkTypes

/// Hands out the words of a command line: `--name=value` in two, and nothing after `--` as an option.
public struct WordReader {
  private var words: [String]
  private var index = 0
  private var attached: String?
  private var isPastOptions = false

  public init(_ words: some Sequence<String>) { self.words = Array(words) }

  public mutating func next() -> String? {
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

  public func isOption(_ word: String) -> Bool { !isPastOptions && word.hasPrefix("-") && word != "-" }

  /// The value of the option that was read last.
  public mutating func value(of option: String) throws(UsageError) -> String {
    if let value = attached {
      attached = nil
      return value
    }
    guard index < words.count else { throw UsageError("\(option) needs a value") }
    index += 1
    return words[index - 1]
  }

  /// The option's value as a decimal number in units of 10^-decimals.
  public mutating func number(
    of option: String, decimals: Int = 0, in range: ClosedRange<UInt64>
  ) throws(UsageError) -> UInt64 {
    try Self.number(option, try value(of: option), decimals: decimals, in: range)
  }

  /// Reads a decimal number in units of 10^-decimals.
  public static func number(
    _ option: String, _ text: String, decimals: Int = 0, in range: ClosedRange<UInt64>
  ) throws(UsageError) -> UInt64 {
    let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let fraction = parts.count == 2 ? String(parts[1]) : ""
    let digits = parts[0] + fraction + String(repeating: "0", count: max(decimals - fraction.utf8.count, 0))
    guard parts[0].utf8.count > 0, parts.count == 1 || !fraction.isEmpty, fraction.utf8.count <= decimals,
      let value = UInt64(decimalDigits: digits), range.contains(value)
    else {
      throw UsageError(
        "\(option) \(text): a number from \(Decimal.text(range.lowerBound, decimals)) to "
          + Decimal.text(range.upperBound, decimals))
    }
    return value
  }

  /// Refuses `--json=yes`.
  public mutating func finish(_ option: String) throws(UsageError) {
    if attached != nil { throw UsageError("\(option) takes no value") }
  }
}
