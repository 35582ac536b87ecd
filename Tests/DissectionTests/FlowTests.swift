import Dissection
import NetworkTypes
import Testing
import TestSupport

/// Tests which segments of a capture are recognised as STUN or TURN.
@Suite("Recognising STUN in a capture")
struct FlowTests {
  typealias Builder = CaptureBuilder

  static let binding: [UInt8] = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42] + (1...12)

  /// ChannelData with an RTP packet in it.
  static func channel(_ number: UInt16, _ sequence: UInt8, padded: Bool = false) -> [UInt8] {
    let data: [UInt8] = [0x80, 96, 0, sequence, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    return [UInt8(number >> 8), UInt8(number & 255), 0, UInt8(data.count)] + data + (padded ? [0, 0, 0] : [])
  }

  /// The content of each segment.
  func contents(_ segments: [CapturedSegment]) -> [MessageFinder.Content] { Found(segments).contents }

  // MARK: - ChannelData

  @Test("ChannelData is recognised if its five-tuple also carries STUN, before or after, in either direction")
  func channelData() {
    let data = Builder.udp(Self.channel(0x4001, 1))
    let back = Builder.udp(Self.channel(0x4001, 2), from: Builder.server, to: Builder.client)
    let request = Builder.udp(Self.binding)
    for order in [[request, data, back], [data, back, request], [back, request, data]] {
      #expect(contents(order) == [.stun, .stun, .stun])
      #expect(Found(order).messages.count == 3)
    }
    let elsewhere = Builder.udp(Self.binding, to: SocketAddress(Builder.server.address, port: 3479))
    #expect(contents([elsewhere, data, back]) == [.stun, .candidate, .candidate])
    // RFC 5766 allowed numbers up to 0x7FFF.
    let old = Builder.udp(Self.channel(0x7123, 1))
    #expect(contents([request, old]) == [.stun, .stun] && contents([old]) == [.udp])
    var dissector = Dissector()
    #expect(Found([request, old]).messages.map { dissector.dissect($0).problems } == [[], []])
  }

  @Test("Several whole frames of one channel are recognised without STUN")
  func channelDataAlone() {
    let call = (1...3).map { Builder.udp(Self.channel(0x4000, $0)) }
    #expect(contents(call) == [.stun, .stun, .stun])
    #expect(contents(Array(call.prefix(2))) == [.candidate, .candidate])
    // Packets on different channels are no call, and identical packets are keep-alives.
    #expect(
      contents((1...3).map { Builder.udp(Self.channel(0x4000 + UInt16($0), $0)) })
        == [.candidate, .candidate, .candidate])
    #expect(Set(contents((1...9).map { _ in Builder.udp(Self.channel(0x4000, 1)) })) == [.candidate])
    #expect(Set(contents((1...9).map { _ in Builder.udp([0x40, 0, 0, 0]) })) == [.candidate])
    // Other data between the same addresses shows another protocol.
    #expect(contents(call + [Builder.udp([1, 2, 3])]) == [.candidate, .candidate, .candidate, .udp])
  }

  @Test("GTP-C is not taken for ChannelData")
  func gtp() {
    // GTP-C version 2 echo requests: a header of 4 bytes with a length, and a sequence number.
    let echoes = (1...9).map { number -> CapturedSegment in
      Builder.udp(
        [0x40, 1, 0, 9, 0, 0, UInt8(number), 0, 3, 0, 1, 0, 17],
        to: SocketAddress(Builder.server.address, port: 2123))
    }
    #expect(Set(contents(echoes)) == [.candidate] && Found(echoes).messages.isEmpty)
  }

  @Test("HTTP and MySQL are not taken for ChannelData")
  func http() {
    let http = Builder.tcp([
      Array("HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n".utf8), [UInt8](repeating: 65, count: 30_000),
    ])
    #expect(Set(contents(http)) == [.tcp])
    let greeting: [UInt8] = [0x4A, 0, 0, 0, 0x0A] + Array("8.0.36-0ubuntu0.22.04.1\0".utf8)
    let mysql = Builder.tcp(
      [greeting + [UInt8](repeating: 7, count: 45)], from: Builder.server, to: Builder.client)
    #expect(Set(contents(mysql)) == [.tcp])
    #expect(Found(http + mysql).messages.isEmpty)
  }

  @Test("A TURN stream is read from its beginning or from its middle")
  func streams() {
    let frames = (1...3).map { Self.channel(0x4000, $0, padded: true) }
    let whole = Builder.tcp([Self.binding, frames[0] + frames[1]])
    #expect(Found(whole).messages.map(\.bytes.count) == [20, 17, 17])
    let middle = Builder.tcp(frames, isFromStart: false)
    #expect(contents(middle) == [.stun, .stun, .stun] && Found(middle).messages.count == 3)
    #expect(contents(Array(middle.prefix(2))) == [.candidate, .candidate])
  }

  @Test("The bytes after ConnectionBind are the peer's data")
  func connectionBind() throws {
    let bind: [UInt8] = [0, 0x0B, 0, 8, 0x21, 0x12, 0xA4, 0x42] + (1...12) + [0, 0x2A, 0, 4, 0, 0, 0, 1]
    var success: [UInt8] = [1, 0x0B, 0, 0, 0x21, 0x12, 0xA4, 0x42] + (1...12)
    success += Self.channel(0x4854, 1, padded: true)
    let found = Found(
      Builder.tcp([bind, Self.channel(0x4854, 2, padded: true)])
        + Builder.tcp([success], from: Builder.server, to: Builder.client))
    #expect(found.messages.map(\.bytes.count) == [28, 20])
  }

  // MARK: - Without the magic cookie

  @Test(
    "Without the magic cookie only messages of RFC 3489 are recognised",
    arguments: [
      // Binding request, alone and with CHANGE-REQUEST; a response with MAPPED-ADDRESS and an optional attribute.
      ([0, 1, 0, 0], [], true), ([0, 1, 0, 8], [0, 3, 0, 4, 0, 0, 0, 0], true),
      ([1, 1, 0, 20], [0, 1, 0, 8, 0, 1, 1, 2, 1, 2, 3, 4, 0x80, 0x22, 0, 4, 65, 66, 67, 0], true),
      ([0, 2, 0, 0], [], true), ([1, 0x12, 0, 0], [], true),
      // Allocate always had the cookie; attributes that do not parse, or that RFC 3489 does not have.
      ([0, 3, 0, 0], [], false), ([3, 0xFF, 0, 0], [], false), ([0, 1, 0, 4], [1, 2, 3, 4], false),
      ([0, 1, 0, 8], [0, 3, 0, 8, 0, 0, 0, 0], false), ([0, 1, 0, 8], [0x55, 3, 0, 4, 0, 0, 0, 0], false),
      ([0, 1, 0, 3], [1, 2, 3], false),
    ] as [([UInt8], [UInt8], Bool)])
  func classic(head: [UInt8], rest: [UInt8], isSTUN: Bool) {
    let bytes = head + [UInt8](repeating: 9, count: 16) + rest
    #expect(contents([Builder.udp(bytes)]) == [isSTUN ? .stun : .udp])
  }

  // MARK: - ICE over TCP

  @Test("The two-byte lengths of ICE over TCP are understood")
  func iceTCP() {
    let check = [0, 20] + Self.binding
    let media: [UInt8] = [0, 13, 0x80, 96, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    let found = Found(
      Builder.tcp([check, media, check + media + check.prefix(7), Array(check.dropFirst(7)) + [0, 0]])
        + Builder.tcp([media, check], from: Builder.server, to: Builder.client))
    #expect(found.messages.map(\.bytes) == [UInt8](Self.binding).repeated(4))
    #expect(found.contents.count { $0 == .framed } == 2, "\(found.contents)")
  }

  // MARK: - Truncated captures

  @Test("A truncated message is explained as far as it goes")
  func cutMessage() throws {
    let request: [UInt8] =
      [0, 3, 0, 24, 0x21, 0x12, 0xA4, 0x42] + (1...12) + [0, 0x19, 0, 4, 17, 0, 0, 0, 0, 6, 0, 9]
      + Array("turnpike!".utf8)
      + [0, 0, 0]
    let frame = Builder.packet(request)
    let kept = Array(frame.prefix(28 + 34))
    #expect(throws: CapturedSegment.Problem.truncated) { try CapturedSegment.parse(kept, linkType: 101) }
    let segment = try CapturedSegment.parse(kept, linkType: 101, isCut: true)
    #expect(segment.payload.count == 34 && segment.missing == 10)
    let found = Found([segment])
    var dissector = Dissector()
    let told = dissector.dissect(try #require(found.messages.first))
    #expect(told.title == "Allocate request" && told.kind == .message && told.problems == [])
    #expect(told.attributes.map(\.name) == ["REQUESTED-TRANSPORT"])
    #expect(told.content == "10 of 44 bytes are not in the capture")
    // ChannelData is recognised by its original length.
    let data = try CapturedSegment.parse(
      Array(Builder.packet(Self.channel(0x4001, 1)).dropLast(9)), linkType: 101, isCut: true)
    let both = Found([segment, data])
    #expect(both.contents == [.stun, .stun])
    #expect(dissector.dissect(both.messages[1]).problems == [])
  }

  @Test("Segments of any order, number and length never trap")
  func mutated() {
    let seed: UInt64 = 0xF10E_0001
    print("flow seed \(seed)")
    var random = SplitMix(state: seed)
    let pieces = [
      Self.binding, [0, 20] + Self.binding, Self.channel(0x4000, 1, padded: true), [0x4A, 0, 0, 0, 10],
      [0, 3, 1, 2, 3],
      Array("HTTP/1.1 200 OK".utf8), [], [0x40], [0xFF, 0xFF],
    ]
    for _ in 0..<3000 {
      let segments = (0..<Int.random(in: 1...12, using: &random)).map { _ -> CapturedSegment in
        let payload = random.mutate((0..<3).flatMap { _ in pieces.randomElement(using: &random) ?? [] })
        let sequence =
          UInt32.random(in: 0xFFFF_FFF0...0xFFFF_FFFF, using: &random) &+ UInt32.random(in: 0...60, using: &random)
        let isUDP = Int.random(in: 0..<4, using: &random) == 0
        let isBack = Bool.random(using: &random)
        var segment = CapturedSegment(
          transport: isUDP ? .udp : .tcp(sequence: sequence, isFirst: Int.random(in: 0..<8, using: &random) == 0),
          source: isBack ? Builder.server : Builder.client, destination: isBack ? Builder.client : Builder.server,
          payload: payload)
        segment.missing = [0, 0, 0, 1, 65_535].randomElement(using: &random) ?? 0
        return segment
      }
      let found = Found(segments)
      var dissector = Dissector(source: IntegritySource(passwords: [[1]]))
      for message in found.messages { _ = dissector.dissect(message) }
      #expect(found.contents.count == segments.count)
    }
  }

  @Test("Reading a stream continues after bytes that the capture lacks")
  func gap() throws {
    var segments = Builder.tcp([Self.binding + Self.binding, Self.binding])
    segments[1].payload.removeLast(5)
    segments[1].missing = 5
    let found = Found(segments)
    #expect(found.messages.map(\.missing) == [0, 5, 0])
  }
}

extension [UInt8] {
  func repeated(_ count: Int) -> [[UInt8]] { Swift.Array(repeating: self, count: count) }
}
