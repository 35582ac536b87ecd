/// A value to be written as YAML.
enum YAMLOutput: Sendable {
  /// A number, duration or word, which is written unquoted.
  case plain(String)
  case text(String)
  /// A secret, and the text in its place: `<redacted>`, or a URI without its password.
  case secret(String, shown: String)
  case list([YAMLOutput])
  case map([Entry])
  /// A value that is omitted from its map.
  case omitted

  struct Entry: Sendable {
    var key: String
    var value: YAMLOutput
  }

  /// The text in place of a secret. A value that contains it is refused.
  static let redaction = "<redacted>"

  static func secret(_ text: String) -> YAMLOutput { .secret(text, shown: redaction) }

  /// The value with `text` in place of each secret.
  func replacingSecrets(_ text: (_ secret: String, _ shown: String) -> String) -> YAMLOutput {
    switch self {
    case .secret(let secret, let shown): .text(text(secret, shown))
    case .list(let items): .list(items.map { $0.replacingSecrets(text) })
    case .map(let entries):
      .map(entries.map { Entry(key: $0.key, value: $0.value.replacingSecrets(text)) })
    case .plain, .text, .omitted: self
    }
  }

  /// Block style: a line for each value, sections indented by two spaces; each list element is on one line.
  func document() -> String { YAMLWriter.document(self) }

  /// Flow style, on one line.
  var inlineText: String { YAMLWriter.inline(self) }

  /// The text of a single value, without quotation marks.
  var scalarText: String {
    switch self {
    case .plain(let text), .text(let text), .secret(_, let text): text
    case .list, .map, .omitted: ""
    }
  }
}
