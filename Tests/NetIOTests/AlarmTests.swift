import NetIO
import NetworkTypes
import Testing

@Suite("Alarms")
struct AlarmTests {
  private static let token = EventToken(kind: 1)

  @Test("it rings when it is due, and is quiet once that is acknowledged")
  func rings() throws {
    let loop = try EventLoop()
    var alarm = try Alarm()
    try loop.add(alarm.rawValue, Self.token)
    let due = Instant.read().advanced(byMilliseconds: 20)
    alarm.ring(by: due)
    #expect(loop.wait(milliseconds: 5000) == 1)
    #expect(Instant.read() >= due)
    alarm.acknowledge()
    #expect(loop.wait(milliseconds: 0) == 0)
  }

  @Test("what has passed already rings at once")
  func past() throws {
    let loop = try EventLoop()
    var alarm = try Alarm()
    try loop.add(alarm.rawValue, Self.token)
    alarm.ring(by: Instant(nanoseconds: 0))
    #expect(loop.wait(milliseconds: 5000) == 1)
  }

  @Test("an earlier deadline takes the later one's place, and a later one changes nothing")
  func earlier() throws {
    let loop = try EventLoop()
    var alarm = try Alarm()
    try loop.add(alarm.rawValue, Self.token)
    let begin = Instant.read()
    alarm.ring(by: begin.advanced(bySeconds: 600))
    alarm.ring(by: begin.advanced(byMilliseconds: 10))
    alarm.ring(by: begin.advanced(bySeconds: 600))
    #expect(loop.wait(milliseconds: 5000) == 1)
    alarm.acknowledge()
    // It is free for the next.
    alarm.ring(by: Instant.read().advanced(byMilliseconds: 10))
    #expect(loop.wait(milliseconds: 5000) == 1)
  }
}
