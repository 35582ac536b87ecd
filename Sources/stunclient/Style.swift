internal import NetIO

/// Colours where somebody looks, none where a program reads.
enum Style {
  /// On a terminal that can do it, unless the user says NO_COLOR (no-color.org).
  static let hasColours = isTerminal && Environment.variables()["NO_COLOR", default: ""].isEmpty

  /// Whether a terminal reads that knows how to write over a line.
  static let isTerminal = StandardStreams.isOutputTerminal && Environment.variables()["TERM"] != "dumb"

  static func red(_ text: String) -> String { colour(text, 31) }
  static func green(_ text: String) -> String { colour(text, 32) }
  static func yellow(_ text: String) -> String { colour(text, 33) }

  private static func colour(_ text: String, _ code: Int) -> String {
    hasColours ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
  }

  /// Control characters of what a server sent must not reach a terminal.
  static func plain(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      result.append(scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) ? "?" : scalar)
    }
    return String(result)
  }
}
