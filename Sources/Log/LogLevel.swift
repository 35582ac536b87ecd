/// The severity of an event.
public enum LogLevel: String, Comparable, CaseIterable, Sendable {
  case debug, info, warning, error

  private var rank: Int {
    switch self {
    case .debug: 0
    case .info: 1
    case .warning: 2
    case .error: 3
    }
  }

  public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rank < b.rank }
}

/// The format of log lines.
public enum LogFormat: String, CaseIterable, Sendable {
  case text, json
}
