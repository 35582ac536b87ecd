internal import Log
internal import NetworkTypes
internal import Synchronization
internal import Testing

/// Collects a log's lines, and refuses lines while it is full.
private final class Sink: Sendable {
  private let state = Mutex((lines: [String](), isFull: false))

  var lines: [String] { state.withLock { $0.lines } }
  func setFull(_ isFull: Bool) { state.withLock { $0.isFull = isFull } }

  func write(_ line: String) -> Bool {
    state.withLock { state in
      if !state.isFull { state.lines.append(line) }
      return !state.isFull
    }
  }
}

private final class Seconds: Sendable {
  private let now = Mutex(UnixTime(seconds: 1_000_000_000))
  var value: UnixTime { now.withLock { $0 } }
  func pass(_ seconds: Int64) { now.withLock { $0.seconds += seconds } }
}

@Suite("The log")
struct LogTests {
  private let sink = Sink()
  private let clock = Seconds()

  private func log(_ format: Log.Format = .text, level: Log.Level = .info) -> Log {
    let (sink, clock) = (sink, clock)
    return Log(level: level, format: format, clock: { clock.value }, sink: { sink.write($0) })
  }

  @Test("JSON lines hold numbers as numbers and text as text")
  func numbers() {
    log(.json).info(
      "ready", ("shards", .number(2)), ("delta", .number(-7)), ("largest", .number(UInt64.max)), ("name", "2"))
    #expect(
      sink.lines == [
        #"{"time":"2001-09-09T01:46:40Z","level":"info","event":"ready","shards":2,"delta":-7,"largest":9223372036854775807,"name":"2"}"#
          + "\n"
      ])
  }

  @Test(
    "A text value that could be misread is quoted",
    arguments: [
      ("plain", "plain"), ("", #""""#), ("two words", #""two words""#), ("a=b", #""a=b""#),
      (#"say "no""#, #""say \"no\"""#),
      ("line\nbreak", #""line\nbreak""#), ("\u{1B}[2J", #""\u001B[2J""#),
    ])
  func quoting(value: String, written: String) {
    log().info("event", ("key", .text(value)))
    #expect(sink.lines == ["2001-09-09T01:46:40Z info event key=\(written)\n"])
  }

  @Test(
    "Invisible characters are escaped in both formats",
    arguments: [
      0, 0x7F, 0x85, 0x9F, 0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F, 0x2028, 0x202E, 0x2060, 0x2066, 0x2069, 0xFEFF,
      0xFFF9,
      0xE000, 0xE0001, 0x10FFFF,
    ])
  func invisible(code: UInt32) throws {
    let character = try #require(Unicode.Scalar(code))
    for format in [Log.Format.text, .json] { log(format).info("event", ("name", .text("a\(character)b"))) }
    #expect(sink.lines.count == 2)
    for line in sink.lines {
      #expect(!line.dropLast().unicodeScalars.contains(character))
      #expect(line.contains(#"a\u"#))
    }
  }

  @Test("A limited event is written once in ten seconds for each source, with the number of suppressed lines")
  func limits() {
    let log = log()
    for _ in 0..<3 { log.limited(.warning, "slow", source: "192.0.2.1", ("n", .number(1))) }
    log.limited(.warning, "slow", source: "192.0.2.2", ("n", .number(2)))
    clock.pass(10)
    log.limited(.warning, "slow", source: "192.0.2.1", ("n", .number(3)))
    #expect(
      sink.lines.map { $0.dropFirst(21) } == [
        "warning slow n=1\n", "warning slow n=2\n", "warning slow n=3 held-back=2\n",
      ])
  }

  @Test("A limited event may have a burst of lines")
  func bursts() {
    let log = log()
    for _ in 0..<7 { log.limited(.info, "auth-failed", source: "192.0.2.1", burst: 5) }
    #expect(sink.lines.count == 5)
  }

  @Test("All sources beyond 1,024 share one limit, until windows end")
  func manySources() {
    let log = log()
    for source in 0..<2000 { log.limited(.info, "event", source: "\(source)") }
    #expect(sink.lines.count == 1025)
    clock.pass(11)
    log.limited(.info, "event", source: "new")
    log.limited(.info, "event", source: "newer")
    #expect(sink.lines.count == 1027)
  }

  @Test("An event below the level takes no entry of the limiter")
  func belowLevel() {
    let log = log(level: .warning)
    log.limited(.info, "event")
    log.configure(level: .info, format: .text, privacy: .full)
    log.limited(.info, "event")
    #expect(sink.lines.count == 1)
    #expect(sink.lines.first?.contains("held-back") == false)
  }

  @Test("Lines that the sink refuses are counted, and the count is logged when it accepts lines again")
  func dropped() {
    let log = log()
    log.info("before")
    sink.setFull(true)
    for _ in 0..<3 { log.info("lost") }
    log.logDroppedLines()
    sink.setFull(false)
    log.logDroppedLines()
    log.logDroppedLines()
    #expect(sink.lines.count == 2)
    #expect(sink.lines.last?.contains("warning log-lines-dropped lines=3 ") == true)
  }
}
