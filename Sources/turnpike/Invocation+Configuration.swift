internal import Configuration
internal import Credentials
internal import NetIO
internal import Text

extension Invocation {
  /// Where the configuration is looked for when no `--config` says otherwise.
  static let standardPath = "/etc/turnpike/turnpike.yml"

  /// The configuration that this command line, the file and the environment make together.
  func configuration() throws(Failure) -> Configuration {
    let path = arguments[.config] ?? (Files.exists(Self.standardPath) ? Self.standardPath : nil)
    let reader = ConfigurationReader(environment: Environment.variables()) { path in try Files.read(path) }
    let configuration: Configuration
    do throws(ConfigurationError) {
      configuration = try reader.read(file: path, overrides: arguments.all(.set))
    } catch {
      throw .wrongConfiguration(error.problems)
    }
    let problems = configuration.settings.credentialProblems + configuration.settings.fileProblems
    guard problems.isEmpty else {
      throw .wrongConfiguration(configuration.warnings + problems.map { configuration.locating($0) })
    }
    return configuration
  }
}

/// Writes a problem as a line of standard error.
func writeProblem(_ problem: ConfigurationProblem) { StandardStreams.writeError(line(problem)) }

extension Settings {
  /// Static users whose name or password no client could use, and a realm that none could.
  fileprivate var credentialProblems: [ConfigurationProblem] {
    do throws(PreparationError) {
      _ = try PreparedText(Array(realm.utf8))
    } catch {
      return [ConfigurationProblem(key: "realm", "can't be used: \(error)", suggestion: "write, for example, example.org")]
    }
    var problems: [ConfigurationProblem] = []
    var known = StaticCredentials()
    for (name, password) in auth.users.sorted(by: { $0.key < $1.key }) {
      do throws(LongTermCredential.Invalid) {
        let user = try LongTermCredential(name: name, realm: realm, password: Array(password.utf8))
        if !known.add(user) {
          problems.append(
            ConfigurationProblem(
              key: "auth.users.\(name)", "could be taken for another user of this list", suggestion: "change the name"))
        }
      } catch {
        problems.append(
          ConfigurationProblem(
            key: "auth.users.\(name)", "\(error)", suggestion: "use letters, digits, symbols and spaces"))
      }
    }
    return problems
  }

  /// Files that are named and can't be read.
  fileprivate var fileProblems: [ConfigurationProblem] {
    let named = [
      ("tls.certificate", tls.certificate), ("tls.private-key", tls.privateKey), ("tls.client-ca", tls.clientCA),
    ]
    var problems: [ConfigurationProblem] = []
    for (key, path) in named where !path.isEmpty {
      do throws(FileError) {
        _ = try Files.read(path)
      } catch {
        problems.append(
          ConfigurationProblem(
            key: key, "cannot read \(path.debugDescription): \(error)",
            suggestion: "name a PEM file that this user may read"))
      }
    }
    return problems
  }
}
