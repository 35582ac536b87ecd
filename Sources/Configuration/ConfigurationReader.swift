/// A configuration that was read: its values, and what its owner should know about them.
public struct Configuration: Sendable {
  public var settings: Settings
  /// Departures from an RFC, environment variables that name no key, and the like.
  public var warnings: [ConfigurationProblem]
  /// Where each key that was given stands.
  private let origins: [String: ConfigurationProblem.Origin]

  init(_ parsed: ParsedConfiguration, warnings: [ConfigurationProblem]) {
    settings = parsed.settings
    self.warnings = warnings
    origins = parsed.origins
  }

  /// A problem that was found later, with the place where its key (or the one that it belongs to) was given.
  public func locating(_ problem: ConfigurationProblem) -> ConfigurationProblem {
    var located = problem
    if located.origin == nil, let key = problem.key {
      located.origin = origins[key] ?? origins.first { key.hasPrefix($0.key + ".") }?.value
    }
    return located
  }
}

/// Reads a configuration: built-in defaults, then the file, then the environment, then overrides.
///
/// It opens nothing itself: how a file is read, and the environment, are handed in.
public struct ConfigurationReader {
  /// The content of the file at a path.
  public typealias FileContent = (_ path: String) throws -> [UInt8]

  private let environment: [String: String]
  private let readFile: FileContent
  private let schema = Schema.settings

  public init(environment: [String: String], readFile: @escaping FileContent) {
    self.environment = environment
    self.readFile = readFile
  }

  /// Reads everything and tells everything that is wrong, not only the first thing.
  ///
  /// - Parameters:
  ///   - path: the configuration file; nil: there is none.
  ///   - overrides: `KEY=VALUE` each; a later one wins.
  public func read(file path: String?, overrides: [String] = []) throws(ConfigurationError) -> Configuration {
    let result = parse(file: path, overrides: overrides)
    let missing = result.settings.unsupportedFeatures.map { result.locating($0) }
    let problems = result.problems + missing
    guard problems.allSatisfy({ $0.severity == .warning }) else { throw ConfigurationError(problems: problems) }
    return Configuration(result, warnings: problems)
  }

  /// What the sources say, with all that is wrong but for features that this version does not have.
  func parse(file path: String?, overrides: [String]) -> ParsedConfiguration {
    var parsed = ParsedConfiguration()
    var context = ReadingContext(environment: environment, readFile: readFile)
    if let path { apply(file: path, to: &parsed, &context) }
    applyEnvironment(to: &parsed, &context)
    for override in overrides { apply(override: override, to: &parsed, &context) }
    parsed.problems = context.problems
    parsed.check()
    return parsed
  }

  private func apply(
    file path: String, to parsed: inout ParsedConfiguration, _ context: inout ReadingContext
  ) {
    let bytes: [UInt8]
    do {
      bytes = try readFile(path)
    } catch {
      context.problems.append(
        ConfigurationProblem(
          .error, "\(path.escapingControls) cannot be read: \(String(describing: error).escapingControls)",
          suggestion: "name a file that exists and that this user may read"))
      return
    }
    var reader = YAMLReader { .file(path: path, line: $0) }
    let root = reader.read(bytes)
    context.problems += reader.problems
    switch root?.content {
    case .map(let entries):
      schema.read(entries, into: &parsed.settings, &context) { parsed.origins[$0] = $1 }
    case nil, .null:
      break
    case .scalar, .list, .inline:
      context.problems.append(
        ConfigurationProblem(
          at: .file(path: path, line: 1), "holds no map of keys", suggestion: "write, for example, realm: example.org"))
    }
  }

  private func applyEnvironment(to parsed: inout ParsedConfiguration, _ context: inout ReadingContext) {
    let ours = environment.filter { $0.key.hasPrefix("TURNPIKE_") }.sorted { $0.key < $1.key }
    if ours.isEmpty { return }
    let names = schema.fields.map(\.environmentName)
    for (name, value) in ours {
      let origin = ConfigurationProblem.Origin.environment(name)
      guard let index = names.firstIndex(of: name) else {
        let nearest = NearestWord.find(name, among: names)
        context.problems.append(
          ConfigurationProblem(
            .warning, at: origin, "names no key and is ignored", suggestion: nearest.map { "did you mean \($0)?" }))
        continue
      }
      let field = schema.fields[index]
      context.key = field.path
      parsed.origins[field.path] = origin
      field.read(RawValue(content: .inline(value), origin: origin), &parsed.settings, &context)
    }
  }

  private func apply(
    override: String, to parsed: inout ParsedConfiguration, _ context: inout ReadingContext
  ) {
    let parts = override.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let key = String(parts.first ?? "").trimmingSpaces
    let origin = ConfigurationProblem.Origin.override(String(key))
    context.key = String(key)
    guard parts.count == 2 else {
      context.report(origin, "has no value", suggestion: "write --set KEY=VALUE")
      return
    }
    guard let field = schema.fields.first(where: { $0.path == key }) else {
      context.report(origin, "unknown key", suggestion: schema.suggestion(forOverride: String(key)))
      return
    }
    parsed.origins[field.path] = origin
    field.read(RawValue(content: .inline(String(parts[1])), origin: origin), &parsed.settings, &context)
  }
}

/// What all sources together say, before it is accepted or refused.
struct ParsedConfiguration {
  var settings = Settings()
  /// Where each key that was given stands.
  var origins: [String: ConfigurationProblem.Origin] = [:]
  var problems: [ConfigurationProblem] = []

  /// The problem with the place where its key was given.
  func locating(_ problem: ConfigurationProblem) -> ConfigurationProblem {
    var located = problem
    if located.origin == nil, let key = problem.key { located.origin = origins[key] }
    return located
  }

  /// Checks what keys mean together. Keys that could not be read have their default here and are left alone.
  mutating func check() {
    if settings.lifetime.default > settings.lifetime.maximum {
      let isWish = origins["lifetime.default"] != nil
      settings.lifetime.default = settings.lifetime.maximum
      if isWish {
        problems.append(
          locating(
            ConfigurationProblem(
              .warning, key: "lifetime.default", "is longer than lifetime.maximum, which is used instead",
              suggestion: "lower it, or raise the maximum")))
      }
    }
    let wrong = problems.filter { $0.severity == .error }.compactMap(\.key)
    problems += settings.contradictionsAndDepartures.filter { problem in
      !wrong.contains { $0 == problem.key || $0.hasPrefix((problem.key ?? "") + ".") }
    }.map { locating($0) }
  }
}

extension Schema {
  fileprivate func suggestion(forOverride key: String) -> String {
    guard isSection(key) else { return suggestion(for: key) }
    let below = fields.map(\.path).filter { $0.hasPrefix(key + ".") }
    return "write one of \(below.joined(separator: ", "))"
  }
}
