public import Configuration
internal import NetworkTypes
public import System

/// Functions of the program around the server.
public struct ServerHost: Sendable {
  /// Reads the configuration again for a reload, on a thread that may wait. Nil if it is wrong, after the problems have
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
  /// Reads the configuration again.
  public var reload: Reload
  /// Whether a person watches the log on a terminal.
  public var isWatched: Bool
  /// The version of the program, for operators.
  public var version: String
  /// The hardening of the process; nil if the process is not the server's own.
  public var confinement: Confinement?
  /// Starts the program once more; nil: an upgrade is not possible.
  var starter: StarterBox?
  /// The connection to the older process, which has started this one to take over.
  var predecessor: HandoverConnection?

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

extension ServerHost {
  /// Makes upgrades possible.
  ///
  /// - Parameters:
  ///   - starter: starts the newer process.
  ///   - predecessor: the older process, if it has started this one.
  public mutating func allowUpgrades(_ starter: consuming Starter?, from predecessor: HandoverConnection?) {
    if let starter { self.starter = StarterBox(starter) }
    self.predecessor = predecessor
  }
}

/// A shared reference to the starter, which cannot be copied.
final class StarterBox: Sendable {
  private let starter: Starter

  init(_ starter: consuming Starter) { self.starter = starter }

  func launch(
    as parent: Starter.Parent, until deadline: Instant
  ) throws(Errno) -> (process: Int32, connection: HandoverConnection) {
    let started = try starter.launch(as: parent, until: deadline)
    let process = started.process
    return (process, HandoverConnection(started.take()))
  }
}
