/// A value that is about to be written as YAML.
enum YAMLOutput: Sendable {
  /// Written as it stands: numbers, durations, words.
  case plain(String)
  case text(String)
  case list([YAMLOutput])
  case map([Entry])
  /// Left out of the map that it stands in.
  case omitted

  struct Entry: Sendable {
    var key: String
    var value: YAMLOutput
  }

  static let redacted = YAMLOutput.text("<redacted>")

  /// Block style: a line for each value, sections indented by two spaces.
  func document() -> String {
    guard case .map(let entries) = self else { return inlineText + "\n" }
    var lines: [String] = []
    Self.append(entries, indentation: "", to: &lines)
    return lines.joined(separator: "\n") + "\n"
  }

  private static func append(
    _ entries: [YAMLOutput.Entry], indentation: String, to lines: inout [String]
  ) {
    for entry in entries {
      let name = indentation + quotedIfNeeded(entry.key) + ":"
      switch entry.value {
      case .omitted:
        continue
      case .map(let inner) where !inner.isEmpty:
        lines.append(name)
        append(inner, indentation: indentation + "  ", to: &lines)
      case .list(let items) where !items.isEmpty:
        lines.append(name)
        for item in items { lines.append(indentation + "  - " + item.inlineText) }
      case .plain, .text, .list, .map:
        lines.append(name + " " + entry.value.inlineText)
      }
    }
  }

  /// Flow style, on one line.
  var inlineText: String {
    switch self {
    case .plain(let text): text
    case .text(let text): Self.quotedIfNeeded(text)
    case .list(let items): "[" + items.map(\.inlineText).joined(separator: ", ") + "]"
    case .map(let entries) where entries.isEmpty: "{}"
    case .map(let entries):
      "{ "
        + entries.filter { if case .omitted = $0.value { false } else { true } }
        .map { Self.quotedIfNeeded($0.key) + ": " + $0.value.inlineText }.joined(separator: ", ") + " }"
    case .omitted: ""
    }
  }

  /// The text as a plain scalar where no reader could take it for anything else, in quotation marks otherwise.
  static func quotedIfNeeded(_ text: String) -> String {
    let isWord = text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "/"),
        UInt8(ascii: ":"), UInt8(ascii: "="), UInt8(ascii: "?"), UInt8(ascii: "&"), UInt8(ascii: "_"):
        true
      default:
        false
      }
    }
    let beginsLikeText = text.first.map { $0.isLetter || $0 == "/" } ?? false
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
    if isWord, beginsLikeText, !text.hasSuffix(":"), !reserved.contains(text.lowercased()) { return text }
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned, .surrogate:
        let digits = String(scalar.value, radix: 16, uppercase: true)
        result += "\\U" + String(repeating: "0", count: 8 - digits.utf8.count) + digits
      default:
        if scalar == "\"" || scalar == "\\" { result += "\\" }
        result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

extension YAMLOutput {
  /// The text of a single value, without quotation marks.
  var scalarText: String {
    switch self {
    case .plain(let text), .text(let text): text
    case .list, .map, .omitted: ""
    }
  }
}
