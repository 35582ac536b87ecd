import NetIO
import NetworkTypes
import Testing

@Suite("Alarms")
struct AlarmTests {
  private static let token = EventToken(kind: 1)

  /// Waits for an event. A wait may end without one: by a signal, or because the kernel has work for this thread (an
  /// io_uring of another test that it tears down).
  private static func wait(_ loop: borrowing EventLoop) -> Int {
    let end = Instant.read().advanced(bySeconds: 5)
    while Instant.read() < end {
      let count = loop.wait(milliseconds: 5000)
      if count > 0 { return count }
    }
    return 0
  }

  @Test("it rings when it is due, and is quiet once that is acknowledged")
  func rings() throws {
    let loop = try EventLoop()
    var alarm = try Alarm()
    try loop.add(alarm.rawValue, Self.token)
    let due = Instant.read().advanced(byMilliseconds: 20)
    alarm.ring(by: due)
    #expect(Self.wait(loop) == 1)
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
    #expect(Self.wait(loop) == 1)
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
    #expect(Self.wait(loop) == 1)
    alarm.acknowledge()
    // It is free for the next.
    alarm.ring(by: Instant.read().advanced(byMilliseconds: 10))
    #expect(Self.wait(loop) == 1)
  }
}
