internal import StringPreparation

/// The lines of a turnserver.conf, as coturn reads them: `option`, `option=value` or `option value`. A line that begins
/// with # is a comment. Quotation marks around a value are removed. Published files also have comments after a value;
/// coturn ignores these comments after numbers, and only the value of a text keeps them.
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
      var value = line.dropFirst(option.count).drop(while: Self.isSeparator)
      if !Self.texts.contains(String(option)) { value = Self.withoutComment(value) }
      lines.append(Line(number: index + 1, option: String(option), value: Self.unquoted(value)))
    }
  }

  /// Options whose values may contain a #.
  private static let texts: Set<String> = [
    "static-auth-secret", "user", "realm", "cert", "pkey", "pkey-pwd", "CA-file", "cli-password", "userdb", "db",
  ]

  private static func withoutComment(_ value: Substring) -> Substring {
    var end = value.startIndex
    while let mark = value[end...].firstIndex(of: "#") {
      let before = value[..<mark]
      if before.last?.isWhitespace ?? true { return before.trimmingBlanks }
      end = value.index(after: mark)
    }
    return value
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
