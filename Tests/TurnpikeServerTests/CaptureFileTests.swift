import NetworkTypes
import TURN
import Testing

@testable import TurnpikeServer

@Suite("Capture files")
struct CaptureFileTests {
  private let client = SocketAddress("192.0.2.7:5000")!
  private let server = SocketAddress("203.0.113.1:3478")!

  @Test("A packet has IPv4 and UDP headers with valid checksums")
  func packet() {
    let packet = CaptureFile.packet([1, 2, 3], from: client, to: server)
    // Another program calculated these checksums.
    #expect(
      packet == [
        0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17, 0x7C, 0xC5, 192, 0, 2, 7, 203, 0, 113, 1, 0x13, 0x88, 0x0D, 0x96, 0, 11,
        0xDC, 0xAE, 1, 2, 3,
      ])
    let six = CaptureFile.packet([1], from: SocketAddress("[2001:db8::1]:1")!, to: SocketAddress("[::1]:2")!)
    #expect(six.count == 49 && six[0] == 0x60 && six[6] == 17 && six[23] == 1 && six[39] == 1)
  }

  @Test("At its limit a file takes no more messages, and all its blocks are complete")
  func limit() {
    var file = CaptureFile()
    let message = [UInt8](repeating: 0, count: 60_000)
    var count = 0
    while file.append(message, time: .nanoseconds(1 << 40), from: client, to: server, comment: "over udp") {
      count += 1
    }
    #expect(count == file.messages && (60...70).contains(count))
    #expect(file.bytes.count <= CaptureFile.limit)
    var offset = 0
    var blocks = 0
    func word(_ offset: Int) -> Int { (0..<4).reduce(0) { $0 | Int(file.bytes[offset + $1]) << (8 * $1) } }
    while offset < file.bytes.count {
      let length = word(offset + 4)
      #expect(length % 4 == 0 && word(offset + length - 4) == length)
      offset += length
      blocks += 1
    }
    #expect(offset == file.bytes.count && blocks == count + 2)
  }

  @Test("Two shards at once: every message is in the file or counted")
  func buffer() async {
    let now = Now(instant: Instant(nanoseconds: 1_000_000_000), wall: UnixTime(seconds: 1_800_000_000))
    let buffer = CaptureBuffer(number: 1, CaptureFilter(user: [], names: .whole), now: now, duration: .seconds(10))
    let path = ClientPath(address: client, endpoint: EndpointID(rawValue: 0), transport: .tls)
    let server = server
    await withTaskGroup(of: Void.self) { group in
      for side in [true, false] {
        group.addTask {
          for _ in 0..<2000 {
            buffer.add(
              CapturedMessage(client: path, isFromClient: side, bytes: [1, 2]), server: server, now: now.instant)
          }
        }
      }
    }
    let counts = buffer.counts
    #expect(counts.messages + counts.leftOut == 4000 && counts.messages > 0)
    #expect(buffer.isRunning(at: now.instant) && !buffer.isRunning(at: now.instant.advanced(by: .seconds(10))))
    buffer.end()
    #expect(!buffer.isRunning(at: now.instant))
  }
}
