internal import StringPreparation
internal import System

/// Colours, on a terminal only.
enum Style {
  /// Whether output has colours: on a terminal that is not dumb, unless NO_COLOR is set (no-color.org).
  static let hasColours = isTerminal && Environment.variables()["NO_COLOR", default: ""].isEmpty

  /// Whether standard output is a terminal that can write over a line.
  static let isTerminal = StandardStreams.isOutputTerminal && Environment.variables()["TERM"] != "dumb"

  static func red(_ text: String) -> String { colour(text, 31) }
  static func green(_ text: String) -> String { colour(text, 32) }
  static func yellow(_ text: String) -> String { colour(text, 33) }

  private static func colour(_ text: String, _ code: Int) -> String {
    hasColours ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
  }

  /// The text without control characters, because texts from a server could change the terminal.
  static func plain(_ text: String) -> String { text.withoutControls }
}
