/// The help of a program or of one of its commands: text, and rows of options from the table.
public struct HelpPage<Command: Hashable & Sendable>: Sendable {
  /// A part of the page.
  public enum Part: Sendable {
    /// Lines that are printed unchanged.
    case text(String)
    /// Options on one row, with the given text or the help of the last option beside them.
    case row([String], String?)
    /// Options without help but with their defaults, as many on a line as fit.
    case list([String])
  }

  private let table: OptionTable<Command>
  private let parts: [Part]

  public init(_ table: OptionTable<Command>, _ parts: [Part]) {
    self.table = table
    self.parts = parts
  }

  private static var width: Int { 80 }

  /// The whole page, with a newline at its end.
  public var text: String {
    var lines: [String] = []
    let column = self.column
    for part in parts {
      switch part {
      case .text(let text): lines.append(text)
      case .row(let names, let help): lines += row(names, help, column)
      case .list(let names): lines += Self.wrapped(names.map(labelWithDefault), indent: 2, separator: ", ")
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private func label(_ name: String) -> String { table[name]?.label ?? name }

  private func labelWithDefault(_ name: String) -> String {
    label(name) + (table[name]?.standard.map { " (\($0))" } ?? "")
  }

  /// The column where the texts beside options begin: after the longest label, unless it is very long.
  private var column: Int {
    var longest = 0
    for case .row(let names, _) in parts {
      let length = names.map(label).joined(separator: ", ").count
      if length <= 32 { longest = max(longest, length) }
    }
    return longest + 4
  }

  private func row(_ names: [String], _ help: String?, _ column: Int) -> [String] {
    let labels = "  " + names.map(label).joined(separator: ", ")
    let help = help ?? names.last.flatMap { table[$0]?.helpWithDefault } ?? ""
    let words = help.split(separator: " ").map(String.init)
    var lines = Self.wrapped(words, indent: column, separator: " ")
    if labels.count + 2 > column { return [labels] + lines }
    let first = lines.isEmpty ? "" : String(lines.removeFirst().dropFirst(column))
    return [labels.padded(to: column) + first] + lines
  }

  /// Lines of at most `width` columns.
  private static func wrapped(_ pieces: [String], indent: Int, separator: String) -> [String] {
    let margin = String(repeating: " ", count: indent)
    var lines: [String] = []
    for piece in pieces {
      if let last = lines.last, last.count + separator.count + piece.count < width {
        lines[lines.count - 1] = last + separator + piece
      } else {
        if separator != " ", let last = lines.last { lines[lines.count - 1] = last + "," }
        lines.append(margin + piece)
      }
    }
    return lines
  }
}
