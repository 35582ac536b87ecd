import NetIO
import NetworkTypes
import Testing

@testable import TurnpikeServer

@Suite("Frames that wait for a stream")
struct OutgoingFramesTests {
  /// ChannelData on channel 0x4001, with `count` bytes of payload that are all `number`.
  func media(_ number: UInt16, count: Int) -> [UInt8] {
    let padding = [UInt8](repeating: 0, count: -count & 3)
    return [0x40, 0x01, UInt8(count >> 8), UInt8(count & 0xFF)] + [UInt8](repeating: UInt8(number & 0xFF), count: count)
      + padding
  }

  /// A STUN message with this many bytes of attributes.
  func message(_ type: UInt16, _ number: UInt8, attributes: Int) -> [UInt8] {
    [UInt8(type >> 8), UInt8(type & 0xFF), UInt8(attributes >> 8), UInt8(attributes & 0xFF), 0x21, 0x12, 0xA4, 0x42]
      + [UInt8](repeating: number, count: 12 + attributes)
  }

  func control(_ number: UInt8) -> [UInt8] { message(0x0103, number, attributes: 20) }

  func append(_ frames: [[UInt8]], to queue: inout OutgoingFrames, _ pool: inout BlockPool) {
    for frame in frames {
      let half = frame.count / 2
      let isAppended = queue.append(
        prefix: frame.span.rawBytes.extracting(0..<half), frame.span.rawBytes.extracting(half..<frame.count), &pool)
      #expect(isAppended)
    }
  }

  func idle(_ pool: borrowing BlockPool) -> Int { pool.idleByteCount }

  func content(_ queue: borrowing OutgoingFrames) -> [UInt8] { queue.bytes.copied() }

  @Test("The oldest media is dropped first, as much as needed, and control messages keep their order")
  func dropping() {
    var pool = BlockPool()
    var queue = OutgoingFrames()
    let frames = [
      control(1), media(2, count: 101), message(0x0017, 3, attributes: 60), control(4), media(5, count: 7),
      media(6, count: 900),
    ]
    append(frames, to: &queue, &pool)
    let total = frames.reduce(0) { $0 + $1.count }
    // One byte too many: removing the oldest frame of media is enough.
    #expect(queue.dropOldestMedia(downTo: total - 1, &pool) == 1)
    #expect(content(queue) == Array([frames[0], frames[2], frames[3], frames[4], frames[5]].joined()))
    // A Data indication counts as media too.
    let target = queue.count - frames[2].count - 1
    #expect(queue.dropOldestMedia(downTo: target, &pool) == 2)
    #expect(content(queue) == Array([frames[0], frames[3], frames[5]].joined()))
    #expect(queue.dropOldestMedia(downTo: 0, &pool) == 1)
    #expect(content(queue) == Array([frames[0], frames[3]].joined()))
    #expect(queue.dropOldestMedia(downTo: 0, &pool) == 0)
  }

  @Test("A partly written frame is completed", arguments: [1, 60, 105, 140, 200, 300])
  func begun(written: Int) {
    var pool = BlockPool()
    var queue = OutgoingFrames()
    let frames = (0..<4).map { media(UInt16($0), count: 100) }
    append(frames, to: &queue, &pool)
    queue.consume(written, &pool)
    // Frames of 104 bytes: the rest of a partly sent one stays.
    let end = (written + 103) / 104 * 104
    #expect(queue.dropOldestMedia(downTo: 0, &pool) == 4 - end / 104)
    #expect(content(queue) == Array(frames.joined())[written..<end].map { $0 })
    queue.consume(queue.count, &pool)
    append([frames[3]], to: &queue, &pool)
    #expect(queue.dropOldestMedia(downTo: 0, &pool) == 1)
    let isEmpty = queue.isEmpty
    #expect(isEmpty)
  }

  @Test("An empty queue returns its memory to the pool, which gives it to the next queue")
  func memory() {
    var pool = BlockPool()
    var queue = OutgoingFrames()
    append([media(1, count: 5000)], to: &queue, &pool)
    #expect(idle(pool) == 4 << 10)
    queue.consume(queue.count, &pool)
    #expect(idle(pool) == 20 << 10)
    append([media(1, count: 100)], to: &queue, &pool)
    #expect(idle(pool) == 16 << 10)
    let isRefused = !queue.append(prefix: RawSpan(), [UInt8](repeating: 0, count: 600_000).span.rawBytes, &pool)
    #expect(isRefused)
    let count = queue.count
    #expect(count == 104)
  }
}
