/// A value as somebody wrote it, before it has a type, with the place where it stands.
struct RawValue {
  enum Content {
    /// Nothing after the key, `~` or `null`.
    case null
    case scalar(String)
    case list([RawValue])
    case map([Entry])
    /// An environment variable or `--set`: the type of its key says whether commas part a list or a map.
    case inline(String)
  }

  struct Entry {
    var key: String
    var origin: ConfigurationProblem.Origin
    var value: RawValue
  }

  var content: Content
  var origin: ConfigurationProblem.Origin

  /// What kind of value this is, in the words of an error message.
  var kind: String {
    switch content {
    case .null: "no value"
    case .scalar, .inline: "a single value"
    case .list: "a list"
    case .map: "a map"
    }
  }
}

/// What reading a value needs besides the value: where problems go, and what `file:` and `env:` stand for.
struct ReadingContext {
  /// The dotted path of the key being read.
  var key = ""
  var problems: [ConfigurationProblem] = []
  var environment: [String: String]
  var readFile: (String) throws -> [UInt8]

  /// The most bytes that `file:PATH` may have.
  static let longestReference = 65536

  mutating func report(_ origin: ConfigurationProblem.Origin, _ message: String, suggestion: String? = nil) {
    problems.append(ConfigurationProblem(at: origin, key: key, message, suggestion: suggestion))
  }

  mutating func warn(_ origin: ConfigurationProblem.Origin, _ message: String, suggestion: String? = nil) {
    problems.append(ConfigurationProblem(.warning, at: origin, key: key, message, suggestion: suggestion))
  }

  /// The text itself, or what `file:PATH` and `env:NAME` name; nil once the problem has been reported.
  mutating func resolve(_ text: String, at origin: ConfigurationProblem.Origin) -> String? {
    if text.hasPrefix("file:") { return content(ofFile: String(text.dropFirst(5)), at: origin) }
    guard text.hasPrefix("env:") else { return text }
    let name = String(text.dropFirst(4))
    guard let value = environment[name] else {
      report(
        origin, "the environment variable \(name.quoted) is not set",
        suggestion: "set it, or write the value itself")
      return nil
    }
    return value
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
    return text
  }
}
