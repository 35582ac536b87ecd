internal import JSON
public import NetworkTypes
internal import Synchronization
internal import System

/// Writes one event a line, with stable keys, as text or JSON.
///
/// Text from clients is escaped, so that no name can forge a line. Packets are never logged; events that may repeat go
/// through `limited`.
public final class Log: Sendable {
  public typealias Level = LogLevel
  public typealias Format = LogFormat

  public typealias Field = (key: String, value: LogValue)

  struct State {
    var level: Level
    var format: Format
    var privacy = LogPrivacy.truncated
    /// The current window of each limited event and source.
    var limited: [LimitedKey: LimitedWindow] = [:]
    /// Lines that the sink has refused since the last one that it accepted.
    var droppedLines: UInt64 = 0
    /// The earliest time of the next search for ended windows.
    var nextSweep = UnixTime.epoch
  }

  private let state: Mutex<State>
  private let clock: @Sendable () -> UnixTime
  private let sink: @Sendable (String) -> Bool

  /// - Parameters:
  ///   - clock: the present time, also for the windows of `limited`.
  ///   - sink: writes one line with its newline, and never blocks, because shards call it. False if the line is
  ///     dropped; `logDroppedLines` logs their number.
  public init(
    level: Level, format: Format, privacy: LogPrivacy = .truncated, clock: @escaping @Sendable () -> UnixTime,
    sink: @escaping @Sendable (String) -> Bool
  ) {
    state = Mutex(State(level: level, format: format, privacy: privacy))
    self.clock = clock
    self.sink = sink
  }

  public func configure(level: Level, format: Format, privacy: LogPrivacy) {
    state.withLock {
      $0.level = level
      $0.format = format
      $0.privacy = privacy
    }
  }

  /// How much callers show of users and client addresses.
  public var privacy: LogPrivacy { state.withLock { $0.privacy } }

  /// Whether events of the level are written; callers check it before they build fields.
  public func writes(_ level: Level) -> Bool { state.withLock { level >= $0.level } }

  public func write(_ level: Level, _ event: String, _ fields: Field...) { write(level, event, fields) }

  public func debug(_ event: String, _ fields: Field...) { write(.debug, event, fields) }
  public func info(_ event: String, _ fields: Field...) { write(.info, event, fields) }
  public func warning(_ event: String, _ fields: Field...) { write(.warning, event, fields) }
  public func error(_ event: String, _ fields: Field...) { write(.error, event, fields) }

  /// Writes an event that may repeat, at most `burst` times in ten seconds for each source; the first line after that
  /// has the number of suppressed lines.
  ///
  /// - Parameters:
  ///   - source: each source has its own limit, such as a client's address; empty: one limit for all. Beyond 1,024
  ///     sources at a time the rest share one limit.
  public func limited(_ level: Level, _ event: String, source: String = "", burst: UInt64 = 1, _ fields: Field...) {
    limited(level, event, source: source, burst: burst, fields)
  }

  public func limited(_ level: Level, _ event: String, source: String, burst: UInt64, _ fields: [Field]) {
    let now = clock()
    let heldBack: UInt64? = state.withLock { state in
      guard level >= state.level else { return nil }
      let key = state.limitedKey(event: event, source: source, now: now)
      var window = state.limited[key] ?? LimitedWindow(end: .epoch)
      defer { state.limited[key] = window }
      return window.admit(now: now, burst: burst)
    }
    guard let heldBack else { return }
    write(level, event, heldBack > 0 ? fields + [("held-back", .number(heldBack))] : fields)
  }

  /// Counts lines that the sink accepted and could not write.
  public func countDroppedLines(_ count: Int) { state.withLock { $0.droppedLines += UInt64(clamping: count) } }

  /// Logs the number of refused lines, when the sink accepts lines again.
  public func logDroppedLines() {
    let lines = state.withLock { state in
      defer { state.droppedLines = 0 }
      return state.droppedLines
    }
    guard lines > 0 else { return }
    let effect: LogValue = "the log is incomplete: standard error accepted no lines for a while"
    if !write(.warning, "log-lines-dropped", [("lines", .number(lines)), ("effect", effect)]) {
      // This line was refused too, and `write` has already counted it.
      state.withLock { $0.droppedLines += lines - 1 }
    }
  }

  /// False if the sink refused the line.
  @discardableResult
  private func write(_ level: Level, _ event: String, _ fields: [Field]) -> Bool {
    let format = state.withLock { level >= $0.level ? $0.format : nil }
    guard let format else { return true }
    let isTaken = sink(Self.line(format, time: CivilTime.text(clock()), level, event, fields))
    if !isTaken { state.withLock { $0.droppedLines += 1 } }
    return isTaken
  }

  private static func line(_ format: Format, time: String, _ level: Level, _ event: String, _ fields: [Field]) -> String
  {
    switch format {
    case .text:
      let values = fields.map { " \($0.key)=\(textValue($0.value.description))" }
      return "\(time) \(level.rawValue) \(event)\(values.joined())\n"
    case .json:
      let first: [JSONValue.Member] = [
        .init("time", .string(time)), .init("level", .string(level.rawValue)), .init("event", .string(event)),
      ]
      return JSONValue.object(first + fields.map { .init($0.key, $0.value.json) }).encode().withoutInvisible + "\n"
    }
  }

  /// The value itself if no character of it could be misread, else quoted.
  static func textValue(_ value: String) -> String {
    let isPlain =
      !value.isEmpty
      && value.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value < 0x7F && $0 != "\"" && $0 != "\\" && $0 != "=" }
    return isPlain ? value : quoted(value)
  }

  /// A JSON string, with control characters and all others that could move a terminal's cursor escaped.
  static func quoted(_ value: String) -> String { JSONValue.string(value).encode().withoutInvisible }
}
