public import Configuration

/// Functions of the program around the server.
public struct ServerHost: Sendable {
  /// Reads the configuration again for SIGHUP, on a thread that may wait. Nil if it is wrong, after the problems have
  /// been logged.
  ///
  /// - Parameters:
  ///   - running: the present settings.
  ///   - read: reads a file.
  public typealias Reload = @Sendable (_ running: Settings, _ read: FileContent) -> Configuration?

  /// Prints the configuration for a web page: the only standard output of the server.
  public var show: @Sendable (IceServers) -> Void
  /// Prints the link of a room of the demo page, with its key; nil: it is not printed.
  public var showDemo: (@Sendable (String) -> Void)?
  public var reload: Reload
  /// Whether a person watches the log on a terminal.
  public var isWatched: Bool
  /// The version of the program, for operators.
  public var version: String
  /// The hardening of the process; nil if the process is not the server's own.
  public var confinement: Confinement?

  public init(
    isWatched: Bool, version: String = "", confinement: Confinement? = nil,
    show: @escaping @Sendable (IceServers) -> Void,
    reload: @escaping Reload
  ) {
    self.confinement = confinement
    self.isWatched = isWatched
    self.version = version
    self.show = show
    self.reload = reload
  }
}
