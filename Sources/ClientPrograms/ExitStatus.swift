/// The exit statuses that the interface and monitoring systems agree on.
public enum ExitStatus: Int32, Comparable, Sendable {
  case good = 0
  case warning = 1
  case failed = 2
  case usage = 3

  /// As monitoring systems call it.
  public var word: String {
    switch self {
    case .good: "OK"
    case .warning: "WARNING"
    case .failed: "CRITICAL"
    case .usage: "UNKNOWN"
    }
  }

  /// As the JSON document calls it.
  public var key: String {
    switch self {
    case .good: "ok"
    case .warning: "warning"
    case .failed: "failed"
    case .usage: "usage"
    }
  }

  /// The worse of two is the greater.
  public static func < (a: ExitStatus, b: ExitStatus) -> Bool { a.rawValue < b.rawValue }
}

/// Wrong usage: the command line, the environment, or a file that it names.
public struct UsageError: Error, Sendable {
  public let message: String

  public init(_ message: String) { self.message = message }
}
