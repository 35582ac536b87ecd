internal import Configuration
internal import Crypto
internal import System
internal import TurnpikeServer

extension Invocation {
  /// The configuration's path without `--config`.
  static let standardPath = "/etc/turnpike/turnpike.yml"

  /// The settings of `turnpike demo`; `--set` overrides them.
  private var demoOverrides: [String] {
    guard command == .demo else { return [] }
    guard arguments.has("--lan") else { return ["admin.demo=true"] }
    return ["admin.demo=true", "admin.listen=0.0.0.0:8478", "admin.token=\(Self.demoToken)"]
  }

  /// The token of this start. Each reading of the configuration uses it, because a reload must not change it.
  private static let demoToken = "\(SecureRandom.word())\(SecureRandom.word())"

  /// The problems of `turnpike demo`: it prints a link, and a browser cannot open a Unix socket.
  private func demoProblems(_ settings: Settings) -> [ConfigurationProblem] {
    guard command == .demo, case .unixSocket = settings.admin.listen else { return [] }
    return [
      ConfigurationProblem(
        key: "admin.listen", "\(settings.admin.listen) is no address that a browser can open",
        suggestion: "add --set admin.listen=127.0.0.1:8478 for this computer, or --lan for others too")
    ]
  }

  private var configurationPath: String? {
    arguments["--config"] ?? arguments["--coturn"] ?? (command == .check ? operands.first : nil)
      ?? (Files.exists(Self.standardPath) ? Self.standardPath : nil)
  }

  /// Reads the configuration from this command line, the file and the environment, and checks every rule that does not
  /// depend on the host.
  ///
  /// - Parameters:
  ///   - read: reads the file, and values that are `file:PATH`. By default a file may be a pipe (`<(…)` of a shell).
  ///   - rules: more checks; they return the problems that they find.
  func configuration(
    read: FileContent = { path throws(FileError) in try Files.read(path) },
    rules: (Settings) -> [ConfigurationProblem] = { _ in [] }
  ) throws(Failure) -> Configuration {
    if arguments.has("--config"), arguments.has("--coturn") {
      throw .usage("--config and --coturn each name the configuration", hint: "give one of them")
    }
    if configurationPath == "-", command == .serve {
      throw .usage(
        "serve reads its configuration again after SIGHUP, and standard input only once", hint: "name a file")
    }
    var configuration = try withoutActuallyEscaping(read) { read throws(Failure) in
      let overrides = demoOverrides + arguments.all("--set")
      let reader = ConfigurationReader(environment: Environment.variables()) { path in
        do throws(FileError) { return try read(path == "-" ? "/dev/stdin" : path) } catch {
          throw UnreadableFile(reason: Files.reason(error, of: path))
        }
      }
      do throws(ConfigurationError) {
        if let path = arguments["--coturn"] {
          return try reader.read(coturn: path, hostAddress: ConfigurationRules.sourceAddress, overrides: overrides)
        }
        return try reader.read(file: configurationPath, overrides: overrides)
      } catch {
        throw .wrongConfiguration(error.problems)
      }
    }
    var problems = ConfigurationRules.nameProblems(configuration.settings) + rules(configuration.settings)
    problems += demoProblems(configuration.settings)
    if let path = configurationPath,
      let problem = ConfigurationRules.modeProblem(ofConfiguration: path, configuration.settings, read: read)
    {
      problems.append(problem)
    }
    configuration.warnings += problems.map { configuration.locating($0) }
    guard problems.allSatisfy({ $0.severity == .warning }) else { throw .wrongConfiguration(configuration.warnings) }
    return configuration
  }

  /// Reads the configuration, and also checks the rules that depend on this host.
  func configurationOfThisHost(
    read: FileContent = { path throws(FileError) in try Files.read(path) }
  ) throws(Failure) -> Configuration {
    try configuration(
      read: read, rules: { ConfigurationRules.hostProblems($0, environment: Environment.variables()) })
  }
}

/// The reason why a file could not be read, for the message about the configuration.
private struct UnreadableFile: Error, CustomStringConvertible {
  var reason: String
  var description: String { reason }
}

/// Writes a problem to standard error, as one line.
func writeProblem(_ problem: ConfigurationProblem) { StandardStreams.writeError(line(problem)) }
