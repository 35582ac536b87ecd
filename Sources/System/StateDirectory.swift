/// The directory of the server's persistent state: store, certificate and first user.
public struct StateDirectory: Equatable, Sendable {
  /// The default directory of a service.
  public static let standard = "/var/lib/turnpike"

  /// The writable directory; nil if there is none.
  public var path: String?
  /// Whether the directory was created now.
  public var isNew: Bool
  /// Each directory that cannot be used, with the reason.
  public var refusals: [String]

  public init(path: String? = nil, isNew: Bool = false, refusals: [String] = []) {
    self.path = path
    self.isNew = isNew
    self.refusals = refusals
  }

  /// Finds the directory.
  ///
  /// - Parameters:
  ///   - configured: `state-directory`, which is then the only one tried. If empty: the standard directory, or the
  ///     user's XDG state directory if the standard one cannot be written.
  ///   - environment: the process's environment.
  ///   - makes: whether a missing directory is created. Of a configured path only the last folder is created, because a
  ///     missing parent is probably a typing mistake. With false nothing is changed, and the result is the one that
  ///     true would give.
  public static func resolve(
    configured: String, environment: [String: String], makes: Bool = true
  ) -> StateDirectory {
    var result = StateDirectory()
    if !configured.isEmpty {
      result.attempt(configured, withParents: false, makes: makes)
      return result
    }
    result.attempt(standard, withParents: true, makes: makes)
    // The XDG specification says to ignore relative paths.
    if result.path == nil, let base = environment["XDG_STATE_HOME"], base.hasPrefix("/") {
      result.attempt(base + "/turnpike", withParents: true, makes: makes)
    } else if result.path == nil, let home = environment["HOME"], home.hasPrefix("/") {
      result.attempt(home + "/.local/state/turnpike", withParents: true, makes: makes)
    }
    return result
  }

  private mutating func attempt(_ path: String, withParents: Bool, makes: Bool) {
    do throws(FileError) {
      isNew = try Self.prepare(path, withParents: withParents, makes: makes)
      self.path = path
    } catch {
      refusals.append(Files.explain(error, of: path))
    }
  }

  /// Creates or checks the directory. Returns whether it was created, or would be.
  private static func prepare(_ path: String, withParents: Bool, makes: Bool) throws(FileError) -> Bool {
    if Files.exists(path) {
      if let obstacle = Files.obstacle(inDirectory: path) { throw .system(obstacle) }
      return false
    }
    if makes { return try Files.makeDirectory(path, withParents: withParents) }
    var folder = Files.folder(of: path.hasSuffix("/") ? String(path.dropLast()) : path)
    while withParents, !Files.exists(folder), folder != "/" { folder = Files.folder(of: folder) }
    if let obstacle = Files.obstacle(inDirectory: folder) { throw .system(obstacle) }
    return true
  }
}
