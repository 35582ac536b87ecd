internal import StringPreparation

/// The lines of a turnserver.conf, as coturn reads them: `option`, `option=value` or `option value`. A line that begins
/// with # is a comment. Quotation marks around a value are removed.
struct CoturnFile {
  struct Line: Equatable {
    /// The line's number, counted from 1.
    var number: Int
    var option: String
    /// The option's value; empty if there is none.
    var value: String

    /// Whether the option is switched on: no value means yes.
    var isOn: Bool {
      guard let first = value.lowercased().first else { return true }
      return !"0nf".contains(first) && value.lowercased() != "off"
    }
  }

  var lines: [Line] = []

  /// Limit of a file's bytes.
  static let largestFile = 1 << 20

  init(_ bytes: [UInt8]) {
    let text = String(decoding: bytes.prefix(Self.largestFile), as: UTF8.self)
    for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let line = line.trimmingBlanks
      guard !line.isEmpty, !line.hasPrefix("#") else { continue }
      let option = line.prefix { !Self.isSeparator($0) }
      let value = line.dropFirst(option.count).drop(while: Self.isSeparator)
      lines.append(Line(number: index + 1, option: String(option), value: Self.unquoted(value)))
    }
  }

  private static func isSeparator(_ character: Character) -> Bool { " =\t".contains(character) }

  private static func unquoted(_ value: Substring) -> String {
    guard value.first == "\"" else { return String(value) }
    let inner = value.dropFirst()
    return String(inner.last == "\"" ? inner.dropLast() : inner)
  }
}

extension Substring {
  fileprivate var trimmingBlanks: Substring {
    var text = drop(while: \.isWhitespace)
    while text.last?.isWhitespace == true { text.removeLast() }
    return text
  }
}
