/// The exit statuses of stunclient and turnload: those of monitoring plug-ins.
public enum ExitStatus: Int32, Comparable, Sendable {
  case good = 0
  case warning = 1
  case failed = 2
  case usage = 3

  /// The name that monitoring systems use.
  public var word: String {
    switch self {
    case .good: "OK"
    case .warning: "WARNING"
    case .failed: "CRITICAL"
    case .usage: "UNKNOWN"
    }
  }

  /// The name in JSON documents.
  public var key: String {
    switch self {
    case .good: "ok"
    case .warning: "warning"
    case .failed: "failed"
    case .usage: "usage"
    }
  }

  /// The worse of two statuses is the greater.
  public static func < (a: ExitStatus, b: ExitStatus) -> Bool { a.rawValue < b.rawValue }
}

/// Wrong usage: an error in the command line, the environment, or a file that they name.
public struct UsageError: Error, Sendable {
  /// The text for standard error, without the program's name.
  public let message: String

  public init(_ message: String) { self.message = message }
}
