import NetworkTypes
import STUN
import Testing

@testable import LoadGeneration

@Suite("Frames of the load generator")
struct FrameTests {
  @Test(
    "ChannelData is padded over streams only",
    arguments: [(172, false, 0), (173, false, 0), (172, true, 0), (173, true, 3), (174, true, 2)])
  func padding(count: Int, isStream: Bool, padding: Int) throws {
    let template = Frame.channelData(count, isStream: isStream)
    #expect(template.padding == padding)
    let frame = template.prefix + [UInt8](repeating: 7, count: count + padding)
    #expect(frame.count == template.byteCount)
    #expect(Frame.data(in: frame.span.rawBytes) == 4..<(4 + count))
    #expect(try ChannelData(frame.span.rawBytes).channel == 0x4000)
  }

  @Test("A Send indication with its data is a valid message", arguments: [16, 172, 173, 1200])
  func sendIndication(count: Int) throws {
    let peer = SocketAddress(IPAddress(127, 128, 0, 9), port: 4711)
    let template = Frame.indication(count, to: peer)
    let bytes = template.prefix + [UInt8](repeating: 7, count: count) + [UInt8](repeating: 0, count: template.padding)
    #expect(bytes.count == template.byteCount)
    let message = try MessageView(bytes.span.rawBytes)
    #expect(message.type == MessageType(.send, .indication))
    #expect(try message.xorAddress(.xorPeerAddress) == peer)
    #expect(message.range(of: .data)?.count == count)
  }

  @Test("The data of a Data indication is found after other attributes")
  func dataIndication() {
    var writer = MessageWriter()
    writer.begin(MessageType(.data, .indication), transactionID: TransactionID(high: 1, low: 2))
    writer.append(.xorPeerAddress, xor: SocketAddress(.ipv4Loopback, port: 1))
    writer.append(.software, text: "abc")
    let begin = writer.count + 4
    writer.append(.data, [1, 2, 3, 4, 5])
    #expect(Frame.data(in: writer.bytes) == begin..<(begin + 5))
  }

  @Test(
    "A message without DATA gives no data",
    arguments: [
      [], [0x40], [0x40, 0, 0, 9, 1], [0, 0x17, 0, 4], [0x01, 0x01, 0, 0],
      [0, 0x17, 0, 4] + [UInt8](repeating: 0, count: 16) + [0, 0x13, 0, 200],
    ] as [[UInt8]])
  func noData(bytes: [UInt8]) {
    #expect(Frame.data(in: bytes.span.rawBytes) == nil)
  }

  @Test("A timestamp is read back, and foreign data has none")
  func timestamp() {
    var buffer = ByteBuffer(capacity: 64)
    Stamp.append(to: &buffer, flow: 3, now: Instant(nanoseconds: 42))
    #expect(buffer.count == Stamp.byteCount)
    #expect(Stamp.sent(buffer.bytes) == Instant(nanoseconds: 42))
    #expect(Stamp.sent([UInt8](repeating: 0, count: 64).span.rawBytes) == nil)
    #expect(Stamp.sent([0x4C, 0x4F].span.rawBytes) == nil)
  }
}
