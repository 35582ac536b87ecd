internal import Synchronization

/// One event a line, with stable keys, as text or JSON.
///
/// Text from strangers is escaped, so that no name can forge a line. Addresses and names of users belong to the debug
/// level. Packets are never logged; what may repeat goes through `limited`.
public final class Log: Sendable {
  public enum Level: Int, Comparable, Sendable {
    case debug, info, warning, error

    public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }

    var name: String {
      switch self {
      case .debug: "debug"
      case .info: "info"
      case .warning: "warning"
      case .error: "error"
      }
    }
  }

  public enum Format: Sendable {
    case text
    case json
  }

  public typealias Field = (key: String, value: String)

  private struct State {
    var level: Level
    var format: Format
    /// When each limited event may be written again, and how many were held back since.
    var limited: [String: (notBefore: UInt64, heldBack: UInt64)] = [:]
  }

  private let state: Mutex<State>
  private let clock: @Sendable () -> UInt64
  private let sink: @Sendable (String) -> Void

  /// - Parameters:
  ///   - clock: seconds since 1970.
  ///   - sink: writes one line, its newline included.
  public init(
    level: Level, format: Format, clock: @escaping @Sendable () -> UInt64, sink: @escaping @Sendable (String) -> Void
  ) {
    state = Mutex(State(level: level, format: format))
    self.clock = clock
    self.sink = sink
  }

  public func configure(level: Level, format: Format) {
    state.withLock {
      $0.level = level
      $0.format = format
    }
  }

  /// Whether events of the level are written: asked before fields are put together.
  public func writes(_ level: Level) -> Bool { state.withLock { level >= $0.level } }

  public func debug(_ event: String, _ fields: Field...) { write(.debug, event, fields) }
  public func info(_ event: String, _ fields: Field...) { write(.info, event, fields) }
  public func warning(_ event: String, _ fields: Field...) { write(.warning, event, fields) }
  public func error(_ event: String, _ fields: Field...) { write(.error, event, fields) }

  /// Writes an event that may repeat, at most once in ten seconds; the next line says how many were held back.
  public func limited(_ level: Level, _ event: String, _ fields: Field...) {
    let now = clock()
    let heldBack: UInt64? = state.withLock { state in
      guard let entry = state.limited[event] else {
        state.limited[event] = (now + 10, 0)
        return 0
      }
      guard now >= entry.notBefore else {
        state.limited[event] = (entry.notBefore, entry.heldBack + 1)
        return nil
      }
      state.limited[event] = (now + 10, 0)
      return entry.heldBack
    }
    guard let heldBack else { return }
    write(level, event, heldBack > 0 ? fields + [("held-back", "\(heldBack)")] : fields)
  }

  private func write(_ level: Level, _ event: String, _ fields: [Field]) {
    let format = state.withLock { level >= $0.level ? $0.format : nil }
    guard let format else { return }
    let time = Self.timestamp(clock())
    switch format {
    case .text:
      var line = "\(time) \(level.name) \(event)"
      for field in fields { line += " \(field.key)=\(Self.textValue(field.value))" }
      sink(line + "\n")
    case .json:
      var line = "{\"time\":\"\(time)\",\"level\":\"\(level.name)\",\"event\":\(Self.quoted(event))"
      for field in fields { line += ",\(Self.quoted(field.key)):\(Self.quoted(field.value))" }
      sink(line + "}\n")
    }
  }

  /// As it is where it has no character that could be taken for something else, quoted otherwise.
  static func textValue(_ value: String) -> String {
    let isPlain = !value.isEmpty && value.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value < 0x7F && $0 != "\"" && $0 != "\\" && $0 != "=" }
    return isPlain ? value : quoted(value)
  }

  /// A JSON string; control characters, and all that could move a terminal's cursor, escaped.
  static func quoted(_ value: String) -> String {
    var result = "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || (0x2028...0x202E).contains(scalar.value):
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// `2026-11-21T13:15:00Z`.
  static func timestamp(_ seconds: UInt64) -> String {
    let days = Int(clamping: seconds / 86_400)
    let time = Int(seconds % 86_400)
    // Civil date from days since 1970, by the 400-year cycle that begins on 1 March.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    return "\(year)-\(two(month))-\(two(day))T\(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60))Z"
  }
}
