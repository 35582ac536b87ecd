internal import StringPreparation

/// A value without a type yet, with its origin.
struct RawValue {
  enum Content {
    /// Nothing after the key, `~` or `null`.
    case null
    case scalar(String)
    case list([RawValue])
    case map([Entry])
    /// An environment variable or `--set`: the key's type decides whether commas separate a list or a map.
    case inline(String)
  }

  struct Entry {
    var key: String
    var origin: ConfigurationProblem.Origin
    var value: RawValue
  }

  var content: Content
  var origin: ConfigurationProblem.Origin

  var isMap: Bool { if case .map = content { true } else { false } }

  /// The kind of value, for error messages.
  var kind: String {
    switch content {
    case .null: "no value"
    case .scalar, .inline: "a single value"
    case .list: "a list"
    case .map: "a map"
    }
  }
}

/// The context for reading a value: the list of problems, and the content behind `file:` and `env:`.
struct ReadingContext {
  /// The dotted path of the current key.
  var key = ""
  var problems: [ConfigurationProblem] = []
  var environment: [String: String]
  /// For each text that was read from a file or the environment, the value that names it: `file:PATH`, `env:NAME`.
  var references: [String: String] = [:]
  var readFile: (String) throws -> [UInt8]

  /// Limit of the bytes of `file:PATH`.
  static let longestReference = 65536

  mutating func report(_ origin: ConfigurationProblem.Origin, _ message: String, suggestion: String? = nil) {
    problems.append(ConfigurationProblem(at: origin, key: key, message, suggestion: suggestion))
  }

  mutating func warn(_ origin: ConfigurationProblem.Origin, _ message: String, suggestion: String? = nil) {
    problems.append(ConfigurationProblem(.warning, at: origin, key: key, message, suggestion: suggestion))
  }

  /// The text itself, or the content of `file:PATH` or `env:NAME`; nil after the problem has been reported.
  mutating func resolve(_ text: String, at origin: ConfigurationProblem.Origin) -> String? {
    if text.hasPrefix("file:") {
      let content = content(ofFile: String(text.dropFirst(5)), at: origin)
      if let content, references[content] == nil { references[content] = text }
      return content
    }
    guard text.hasPrefix("env:") else {
      // In the configuration file, quotation marks and spaces within a value are intended.
      if case .file = origin {} else { warnOfEdges(text, "the value", at: origin) }
      return text
    }
    let name = String(text.dropFirst(4))
    guard let value = environment[name] else {
      report(
        origin, "the environment variable \(name.quoted) is not set",
        suggestion: "set it, or write the value itself")
      return nil
    }
    warnOfEdges(value, "the environment variable \(name.quoted)", at: origin)
    if references[value] == nil { references[value] = text }
    return value
  }

  /// Warns about characters that a shell or an editor may have left at the ends of a value.
  private mutating func warnOfEdges(_ text: String, _ what: String, at origin: ConfigurationProblem.Origin) {
    guard let edges = DeceptiveEdges.describe(text) else { return }
    warn(origin, "\(what) \(edges), which is taken as part of it", suggestion: "remove it, unless it is intended")
  }

  private mutating func content(ofFile path: String, at origin: ConfigurationProblem.Origin) -> String? {
    let bytes: [UInt8]
    do {
      bytes = try readFile(path)
    } catch {
      report(
        origin, "cannot read \(path.quoted): \(String(describing: error).escapingControls)",
        suggestion: "name a file that exists and that this user may read")
      return nil
    }
    guard bytes.count <= Self.longestReference else {
      report(origin, "\(path.quoted) has more than 64 KiB", suggestion: "name the file that holds only this value")
      return nil
    }
    var content = bytes[...]
    if content.last == UInt8(ascii: "\n") {
      content.removeLast()
      if content.last == UInt8(ascii: "\r") { content.removeLast() }
    }
    guard let text = String(validating: content, as: UTF8.self) else {
      report(origin, "\(path.quoted) is not UTF-8 text", suggestion: "write the value as text, for example in Base64")
      return nil
    }
    warnOfEdges(text, path.quoted, at: origin)
    return text
  }
}
