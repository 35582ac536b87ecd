public import NetworkTypes
internal import StringPreparation
internal import TURN

/// A configuration: its values, and warnings about them.
public struct Configuration: Sendable {
  /// The values of all keys.
  public var settings: Settings
  /// Warnings, for example about departures from an RFC and environment variables that name no key.
  public var warnings: [ConfigurationProblem]
  /// The origin of each given key.
  private let origins: [String: ConfigurationProblem.Origin]
  /// For each text that was read from a file or the environment, the value that names it: `file:PATH`, `env:NAME`.
  let references: [String: String]

  init(_ parsed: ParsedConfiguration, warnings: [ConfigurationProblem]) {
    settings = parsed.settings
    self.warnings = warnings
    origins = parsed.origins
    references = parsed.references
  }

  /// Whether the file, the environment or an override gives this key.
  public func gives(_ key: String) -> Bool { origins[key] != nil }

  /// Adds to a problem the origin of its key, or of the section that contains the key.
  public func locating(_ problem: ConfigurationProblem) -> ConfigurationProblem { problem.located(by: origins) }
}

extension ConfigurationProblem {
  /// Adds the origin of the key, or of the section that contains the key.
  fileprivate func located(by origins: [String: Origin]) -> ConfigurationProblem {
    var located = self
    if origin == nil, let key {
      located.origin = origins[key] ?? origins.first { key.hasPrefix($0.key + ".") }?.value
    }
    return located
  }
}

/// Reads a configuration: built-in defaults, then the file, then the environment, then overrides.
///
/// It opens no file itself: the caller passes a function that reads files, and the environment.
public struct ConfigurationReader {
  private let environment: [String: String]
  /// Returns the content of the file at a path.
  private let readFile: (_ path: String) throws -> [UInt8]
  private let schema = Schema.settings

  public init(environment: [String: String], readFile: @escaping (_ path: String) throws -> [UInt8]) {
    self.environment = environment
    self.readFile = readFile
  }

  /// Reads all sources and reports every problem, not only the first.
  ///
  /// - Parameters:
  ///   - path: the configuration file; nil: there is none.
  ///   - overrides: `KEY=VALUE` each; a later one wins.
  public func read(file path: String?, overrides: [String] = []) throws(ConfigurationError) -> Configuration {
    try accept(parse(file: path, overrides: overrides))
  }

  /// Reads a turnserver.conf by translating it. Every option without an equivalent causes a warning.
  ///
  /// - Parameter hostAddress: the source address of this host.
  public func read(
    coturn path: String, hostAddress: @escaping (IPAddress.Family) -> IPAddress?, overrides: [String] = []
  ) throws(ConfigurationError) -> Configuration {
    try accept(
      parse(overrides: overrides) { parsed, context in
        apply(coturn: path, hostAddress: hostAddress, to: &parsed, &context)
      })
  }

  private func accept(_ result: ParsedConfiguration) throws(ConfigurationError) -> Configuration {
    let missing = result.settings.unsupportedFeatures.map { result.locating($0) }
    let problems = result.problems + missing
    guard problems.allSatisfy({ $0.severity == .warning }) else { throw ConfigurationError(problems: problems) }
    return Configuration(result, warnings: problems)
  }

  /// Reads the sources, with all problems except those of missing features.
  func parse(file path: String?, overrides: [String]) -> ParsedConfiguration {
    parse(overrides: overrides) { parsed, context in
      if let path { apply(file: path, to: &parsed, &context) }
    }
  }

  private func parse(
    overrides: [String], applyFile: (inout ParsedConfiguration, inout ReadingContext) -> Void
  ) -> ParsedConfiguration {
    var parsed = ParsedConfiguration()
    var context = ReadingContext(environment: environment, readFile: readFile)
    applyFile(&parsed, &context)
    applyEnvironment(to: &parsed, &context)
    for override in overrides { apply(override: override, to: &parsed, &context) }
    parsed.problems = context.problems
    parsed.references = context.references
    parsed.check()
    return parsed
  }

  private func apply(
    file path: String, to parsed: inout ParsedConfiguration, _ context: inout ReadingContext
  ) {
    guard let bytes = content(of: path, &context) else { return }
    var reader = YAMLReader { .file(path: path, line: $0) }
    let root = reader.read(bytes)
    if root?.isMap != true, ForeignConfiguration.isCoturns(bytes) {
      context.problems.append(
        ConfigurationProblem(
          at: .file(path: path, line: 1),
          "this looks like coturn's turnserver.conf, which has another syntax and other keys",
          suggestion: "translate it with turnpike import coturn FILE, or run it with turnpike serve --coturn FILE")
      )
      return
    }
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

  /// The content of the configuration file; nil after a reported problem.
  private func content(of path: String, _ context: inout ReadingContext) -> [UInt8]? {
    do { return try readFile(path) } catch {
      context.problems.append(
        ConfigurationProblem(
          .error, "\(path.escapingControls) cannot be read: \(String(describing: error).escapingControls)",
          suggestion: "name a file that exists and that this user may read"))
      return nil
    }
  }

  private func apply(
    coturn path: String, hostAddress: @escaping (IPAddress.Family) -> IPAddress?, to parsed: inout ParsedConfiguration,
    _ context: inout ReadingContext
  ) {
    guard let bytes = content(of: path, &context) else { return }
    let translation = CoturnTranslation(bytes, hostAddress: hostAddress)
    schema.read(translation.raw(path: path), into: &parsed.settings, &context) { parsed.origins[$0] = $1 }
    context.problems += translation.remarks.filter(\.isDifference).map { $0.problem(path: path) }
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
    guard !key.isEmpty else {
      context.report(origin, "no key stands before the =", suggestion: "write --set KEY=VALUE")
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

/// The content of all sources, before it is accepted or refused.
struct ParsedConfiguration {
  var settings = Settings()
  /// The origin of each given key.
  var origins: [String: ConfigurationProblem.Origin] = [:]
  var references: [String: String] = [:]
  var problems: [ConfigurationProblem] = []

  /// Adds the origin from which the problem's key was given.
  func locating(_ problem: ConfigurationProblem) -> ConfigurationProblem { problem.located(by: origins) }

  /// Checks combinations of keys. Keys that could not be read have their default and cause no further problem.
  mutating func check() {
    if settings.turn.defaultLifetime > settings.turn.maximumLifetime {
      let isWish = origins["lifetime.default"] != nil
      settings.turn.defaultLifetime = settings.turn.maximumLifetime
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
