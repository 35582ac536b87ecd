import NetworkTypes
import Testing

@testable import STUN

/// Framing in byte streams, and demultiplexing by the first byte (RFC 8489 section 6.2.2, RFC 8656 section 12.5, RFC
/// 7983).
@Suite("Conformance: framing")
struct ConformanceFramingTests {
  /// Cuts a stream into frames like a server that receives `chunk` bytes at a time.
  func frames(_ stream: [UInt8], chunk: Int) -> [[UInt8]]? {
    var frames: [[UInt8]] = []
    var waiting: [UInt8] = []
    var offset = 0
    while offset < stream.count {
      waiting += stream[offset..<min(offset + chunk, stream.count)]
      offset += chunk
      cutting: while true {
        switch StreamFrame(waiting.span.rawBytes, allowsChannelData: true) {
        case .message(let count):
          frames.append(Array(waiting[..<count]))
          waiting.removeFirst(count)
        case .channelData(let count, let padded):
          frames.append(Array(waiting[..<count]))
          waiting.removeFirst(padded)
        case .incomplete(let missing):
          #expect(missing > 0)
          break cutting
        case .invalid: return nil
        }
      }
    }
    #expect(waiting.isEmpty)
    return frames
  }

  static let message =
    [UInt8]([0, 1, 0, 8, 0x21, 0x12, 0xA4, 0x42]) + [UInt8](1...12) + [0x80, 0x22, 0, 4, 1, 2, 3, 4]

  static func channelData(_ count: Int) -> [UInt8] {
    [0x40, 1, UInt8(count >> 8), UInt8(count & 0xFF)] + [UInt8](repeating: 7, count: count)
      + [UInt8](repeating: 0, count: -count & 3)
  }

  @Test(
    "RFC 8489, 6.2.2: messages follow each other without a gap, however the stream is split",
    arguments: [1, 2, 3, 7, 20, 28, 29, 1000])
  func backToBack(chunk: Int) {
    let stream =
      Self.message + Self.channelData(5) + Self.message + Self.channelData(0) + Self.channelData(8) + Self.message
    let expected = [
      Self.message, Array(Self.channelData(5).prefix(9)), Self.message, Self.channelData(0), Self.channelData(8),
      Self.message,
    ]
    #expect(frames(stream, chunk: chunk) == expected)
  }

  @Test(
    "RFC 8656, 12.5: ChannelData over a stream is padded to four bytes, and the padding is not data",
    arguments: 0...9)
  func padding(count: Int) {
    let frame = Self.channelData(count)
    #expect(frame.count % 4 == 0)
    let whole = frame + Self.message
    #expect(frames(whole, chunk: whole.count)?.first?.count == 4 + count)
  }

  @Test(
    "The greatest lengths do not overflow: 0xFFFC to 0xFFFF of ChannelData, 0xFFFC of STUN",
    arguments: [0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF])
  func longest(count: Int) {
    let frame = Self.channelData(count)
    #expect(frames(frame + Self.message, chunk: 5000)?.map(\.count) == [4 + count, 28])
    let header = [UInt8]([0, 1, 0xFF, 0xFC, 0x21, 0x12, 0xA4, 0x42]) + [UInt8](1...12)
    let stun = header + [UInt8](repeating: 0, count: 0xFFFC)
    #expect(frames(stun + Self.message, chunk: 5000)?.map(\.count) == [20 + 0xFFFC, 28])
  }

  @Test("A length that is no multiple of four, a missing cookie or another first byte ends the stream")
  func invalid() {
    for (offset, value) in [(3, UInt8(1)), (3, 2), (3, 7), (4, 0), (7, 0), (0, 0x80), (0, 0x10), (0, 0x14), (0, 0xFF)] {
      var bytes = Self.message
      bytes[offset] = value
      #expect(frames(bytes, chunk: bytes.count) == nil)
    }
  }

  @Test(
    "RFC 7983, 7: the first byte is 0-3 for STUN and 64-79 for ChannelData, up to 127 when reading")
  func firstByte() {
    for first in UInt8.min...UInt8.max {
      var bytes = Self.message
      bytes[0] = first
      let frame = StreamFrame(bytes.span.rawBytes, allowsChannelData: true)
      let isKnown = (0...3).contains(first) || (64...127).contains(first)
      #expect((frame == .invalid) == !isKnown, "\(first)")
    }
  }
}
