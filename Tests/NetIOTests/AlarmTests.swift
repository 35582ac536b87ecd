import System
import NetIO
import NetworkTypes
import Testing

@Suite("Alarms")
struct AlarmTests {
  private static let token = EventToken(kind: 1)

  /// Waits for an event. A single wait may end without one: after a signal, or after kernel work on this thread, such
  /// as the teardown of another test's io_uring.
  private static func wait(_ loop: borrowing EventLoop) -> Int {
    let end = Instant.read().advanced(by: .seconds(5))
    while Instant.read() < end {
      let count = loop.wait(for: .seconds(5))
      if count > 0 { return count }
    }
    return 0
  }

  @Test("An alarm is readable from its deadline until the acknowledgement")
  func rings() throws {
    let loop = try EventLoop()
    var alarm = try Alarm()
    try loop.add(alarm.rawValue, Self.token)
    let due = Instant.read().advanced(by: .milliseconds(20))
    alarm.ring(by: due)
    #expect(Self.wait(loop) == 1)
    #expect(Instant.read() >= due)
    alarm.acknowledge()
    #expect(loop.wait(for: .zero) == 0)
  }

  @Test("A deadline in the past makes the alarm readable at once")
  func past() throws {
    let loop = try EventLoop()
    var alarm = try Alarm()
    try loop.add(alarm.rawValue, Self.token)
    alarm.ring(by: Instant(nanoseconds: 0))
    #expect(Self.wait(loop) == 1)
  }

  @Test("An earlier deadline replaces the later one, and a later one changes nothing")
  func earlier() throws {
    let loop = try EventLoop()
    var alarm = try Alarm()
    try loop.add(alarm.rawValue, Self.token)
    let begin = Instant.read()
    alarm.ring(by: begin.advanced(by: .seconds(600)))
    alarm.ring(by: begin.advanced(by: .milliseconds(10)))
    alarm.ring(by: begin.advanced(by: .seconds(600)))
    #expect(Self.wait(loop) == 1)
    alarm.acknowledge()
    // The alarm can be used again.
    alarm.ring(by: Instant.read().advanced(by: .milliseconds(10)))
    #expect(Self.wait(loop) == 1)
  }
}
