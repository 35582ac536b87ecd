import NetworkTypes
import Testing

@testable import LoadGeneration

@Suite("The pacer")
struct PacerTests {
  private let start = Instant(nanoseconds: 1_000_000_000)

  private func later(_ milliseconds: UInt32) -> Instant { start.advanced(by: .milliseconds(milliseconds)) }

  @Test("A window closes when it is full and opens when packets arrive")
  func window() {
    var pacer = Pacer(.window(100), burst: 1, now: start)
    #expect(pacer.allowance(now: start) == 64)
    pacer.countSent(64)
    #expect(pacer.allowance(now: start) == 36)
    pacer.countSent(36)
    #expect(pacer.allowance(now: start) == 0)
    pacer.countSettled(10, now: later(1))
    #expect(pacer.allowance(now: later(1)) == 10)
  }

  @Test("Lost packets do not close the window for ever")
  func lostPackets() {
    var pacer = Pacer(.window(50), burst: 1, now: start)
    pacer.countSent(50)
    #expect(pacer.allowance(now: later(99)) == 0)
    #expect(pacer.allowance(now: later(101)) == 50)
    // Packets that arrive after they were counted as lost have no effect.
    pacer.countSettled(50, now: later(102))
    #expect(pacer.allowance(now: later(102)) == 50)
  }

  @Test(
    "A rate is kept on average",
    arguments: [(1_000, 500, 500), (20_000, 100, 2_000), (3, 2_000, 6)] as [(UInt64, UInt32, Int)])
  func rate(rate: UInt64, milliseconds: UInt32, expected: Int) {
    var pacer = Pacer(.rate(rate), burst: 1, now: start)
    var sent = 0
    for millisecond in 0...milliseconds {
      while case let count = pacer.allowance(now: later(millisecond)), count > 0 {
        sent += count
        pacer.countSent(count)
      }
    }
    #expect(sent == expected)
  }

  @Test("Bursts are sent whole")
  func bursts() {
    var pacer = Pacer(.rate(1_000), burst: 8, now: start)
    #expect(pacer.allowance(now: later(7)) == 0)
    #expect(pacer.allowance(now: later(8)) == 8)
    #expect(pacer.allowance(now: later(23)) == 16)
    pacer.countSent(16)
    #expect(pacer.allowance(now: later(23)) == 0)
  }

  @Test("A window smaller than a burst allows one burst")
  func smallWindow() {
    var pacer = Pacer(.window(4), burst: 16, now: start)
    #expect(pacer.allowance(now: start) == 16)
  }

  @Test("The generator sleeps at slow rates only")
  func sleep() {
    #expect(Pacer(.rate(100), burst: 1, now: start).maySleep(now: start))
    #expect(!Pacer(.rate(20_000), burst: 1, now: start).maySleep(now: start))
    #expect(!Pacer(.window(1), burst: 1, now: start).maySleep(now: start))
  }
}
