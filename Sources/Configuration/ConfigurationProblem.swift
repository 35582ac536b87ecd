internal import Log

/// An error or warning about a configuration: its origin, its description and a correction.
///
/// Its text never contains the value of a secret, and quoted text has no control characters.
public struct ConfigurationProblem: Error, Equatable, Sendable {
  /// The effect of a problem.
  public enum Severity: Sendable {
    /// The configuration is refused.
    case error
    /// The program runs, and the warning is logged.
    case warning
  }

  /// The source of a value.
  public enum Origin: Hashable, Sendable {
    /// A line of the configuration file, counted from 1.
    case file(path: String, line: Int)
    /// An environment variable, by its name.
    case environment(String)
    /// A `--set KEY=VALUE`, by its key.
    case override(String)
  }

  /// Whether it is an error or a warning.
  public var severity: Severity
  /// Nil if the problem is about the configuration as a whole.
  public var origin: Origin?
  /// The dotted path of the key, `auth.nonce-lifetime`; nil if the problem is about no key.
  public var key: String?
  /// What is wrong, without the origin and the key.
  public var message: String
  /// The correct text.
  public var suggestion: String?

  public init(
    _ severity: Severity = .error, at origin: Origin? = nil, key: String? = nil, _ message: String,
    suggestion: String? = nil
  ) {
    self.severity = severity
    self.origin = origin
    self.key = key
    self.message = message
    self.suggestion = suggestion
  }
}

extension ConfigurationProblem: CustomStringConvertible {
  /// One line: `turnpike.yml:7: rfc3489: "maybe" is not true or false; write, for example, true`.
  public var description: String {
    var parts: [String] = []
    if let origin { parts.append(origin.description) }
    // `--set` names the key already.
    if let key, origin != .override(key) { parts.append(key.escapingControls) }
    parts.append(message)
    return parts.joined(separator: ": ") + (suggestion.map { "; \($0)" } ?? "")
  }
}

extension ConfigurationProblem.Origin: CustomStringConvertible {
  public var description: String {
    switch self {
    case .file(let path, let line): "\(path.escapingControls):\(line)"
    case .environment(let name): "environment variable \(name.escapingControls)"
    case .override(let key): "--set \(key.escapingControls)"
    }
  }
}

/// Every error (and warning) of a configuration that is refused, in the order in which they were found.
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The errors and warnings.
  public var problems: [ConfigurationProblem]

  public init(problems: [ConfigurationProblem]) { self.problems = problems }

  public var description: String { problems.map(\.description).joined(separator: "\n") }
}

extension String {
  /// The text in quotation marks, shortened and without control characters, for one log line.
  var quoted: String {
    let limit = 60
    let head = String(unicodeScalars.prefix(limit))
    return "\"\(head.escapingControls)\(unicodeScalars.count > limit ? "…" : "")\""
  }

  /// The text with invisible characters written as `\u{1B}`, so that text from a file or the environment cannot forge
  /// a line of the log.
  var escapingControls: String {
    var result = ""
    for scalar in unicodeScalars {
      if scalar.isInvisible {
        result += "\\u{" + String(scalar.value, radix: 16, uppercase: true) + "}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
