public import Configuration
public import System

/// Finds files that other users of this host can read or write and should not: warnings of `check`, a start and a
/// reload.
extension ConfigurationRules {
  private static let readableByOthers: UInt32 = 0o004
  private static let writableByOthers: UInt32 = 0o002
  private static let openToGroupOrOthers: UInt32 = 0o077

  /// Checks the state directory, the stores and the private keys.
  static func modeProblems(_ settings: Settings, environment: [String: String]) -> [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    let directory = StateDirectory.resolve(configured: settings.stateDirectory, environment: environment, makes: false)
    // A sticky bit (as /tmp has) protects existing files, but other users could create ours first.
    if let path = directory.path, has(writableByOthers, path) {
      problems.append(
        warning("state-directory", path, "other users of this host can write to it", remedy: "chmod 700 \(path)"))
    }
    let stores =
      [(key: "auth.store", store: settings.auth.store)]
      + settings.realms.sorted { $0.key < $1.key }.map { (key: "realms.\($0.key).store", store: $0.value.store) }
    for (key, store) in stores {
      if let path = StorePath.path(of: store, in: directory.path), has(openToGroupOrOthers, path) {
        problems.append(
          warning(key, path, "other users of this host can read its keys and secrets", remedy: "chmod 600 \(path)"))
      }
    }
    let keys =
      [("tls.private-key", settings.tls.privateKey)]
      + settings.tls.certificates.map { ("tls.certificates", $0.privateKey) }
    for (name, key) in keys where !key.isEmpty && has(readableByOthers | writableByOthers, key) {
      problems.append(warning(name, key, "other users of this host can read it", remedy: "chmod 640 \(key)"))
    }
    return problems
  }

  /// The problem of a configuration file with a password or secret that other users can read; nil if it has none.
  ///
  /// - Parameter read: reads the file, if it is a regular file.
  public static func modeProblem(
    ofConfiguration path: String, _ settings: Settings, read: FileContent
  ) -> ConfigurationProblem? {
    guard Files.isRegular(path), has(readableByOthers, path), let content = try? read(path) else { return nil }
    let text = String(decoding: content, as: UTF8.self)
    let realms = settings.realms.values
    let secrets =
      Array(settings.auth.users.values) + settings.auth.secrets + [settings.admin.token]
      + realms.flatMap { Array($0.users.values) + $0.secrets }
    // The content of a `file:PATH` value is not in the configuration file.
    guard secrets.contains(where: { !$0.isEmpty && text.contains($0) }) else { return nil }
    return warning(
      nil, path, "other users of this host can read the passwords in it",
      remedy: "chmod 640 \(path), or keep them in files of their own (file:PATH)")
  }

  private static func has(_ bits: UInt32, _ path: String) -> Bool { (Files.mode(of: path) ?? 0) & bits != 0 }

  private static func warning(_ key: String?, _ path: String, _ what: String, remedy: String) -> ConfigurationProblem {
    ConfigurationProblem(.warning, key: key, "\(Files.rights(of: path)): \(path): \(what)", suggestion: remedy)
  }
}
