import Dissection
import Foundation
import NetworkTypes
import Testing
import TestSupport

@Suite("Explained messages")
struct DissectionTests {
  /// RFC 5769 section 2.1, as the RFC prints it.
  static let sample = """
    00 01 00 58  21 12 a4 42  b7 e7 a7 01  bc 34 d6 86  fa 87 df ae
    80 22 00 10  53 54 55 4e  20 74 65 73  74 20 63 6c  69 65 6e 74
    00 24 00 04  6e 00 01 ff  80 29 00 08  93 2f f9 b1  51 26 3b 36
    00 06 00 09  65 76 74 6a  3a 68 36 76  59 20 20 20
    00 08 00 14  9a ea a7 0c  bf d8 cb 56  78 1e f2 b5  b2 d3 f2 49  c1 b5 71 a2
    80 28 00 04  e5 7a 3b cf
    """

  func explain(_ hex: String, _ source: IntegritySource = IntegritySource()) throws -> Dissection {
    var dissector = Dissector(source: source)
    return dissector.dissect(datagram: try #require(HexText.bytes(hex)))
  }

  @Test("The sample of RFC 5769 is explained, and its integrity verifies")
  func rfc5769() throws {
    let password = Array("VOkJxbRl1RmTxUk/WvJxBt".utf8)
    let found = try explain(Self.sample, IntegritySource(passwords: [password]))
    #expect(found.title == "Binding request" && found.kind == .message)
    #expect(found.transaction == "b7e7a701bc34d686fa87dfae")
    #expect(
      found.attributes.map(\.name) == [
        "SOFTWARE", "PRIORITY", "ICE-CONTROLLED", "USERNAME", "MESSAGE-INTEGRITY", "FINGERPRINT",
      ])
    #expect(found.attributes[0].text == "\"STUN test client\"")
    #expect(found.attributes[3].remarks == ["its padding is not zero"])
    #expect(found.attributes[4].remarks == ["right (short-term credential)"])
    #expect(found.isFingerprintRight == true && found.isIntegrityRight == true && found.problems == [])
    let wrong = try explain(Self.sample, IntegritySource(passwords: [Array("guess".utf8)]))
    #expect(wrong.isIntegrityRight == false)
    #expect(wrong.problems == ["the integrity attribute does not fit this password"])
    #expect(try explain(Self.sample).isIntegrityRight == nil)
    let damaged = try explain(Self.sample.replacingOccurrences(of: "6e 00 01 ff", with: "6e 00 01 fe"))
    #expect(damaged.isFingerprintRight == false)
  }

  @Test("After an integrity attribute only another one and FINGERPRINT count")
  func afterIntegrity() throws {
    // MESSAGE-INTEGRITY, then SOFTWARE, MESSAGE-INTEGRITY-SHA256, FINGERPRINT.
    let integrity = "0008 0014" + String(repeating: "00", count: 20)
    let sha256 = "001c 0020" + String(repeating: "00", count: 32)
    let found = try explain(
      "0001 004c 2112a442b7e7a701bc34d686fa87dfae" + integrity + "8022 0004 61626364" + sha256 + "8028 0004 00000000")
    let ignored = found.attributes.filter { $0.remarks.contains("after the integrity attribute: receivers ignore it") }
    #expect(found.attributes.count == 4 && ignored.map(\.name) == ["SOFTWARE"])
  }

  @Test(
    "Each kind of message has its title",
    arguments: [
      ("0001", "STUN, cut short"), ("000100002112a442b7e7a701bc34d686fa87dfae", "Binding request"),
      ("000100000000000000000000000000000000000a", "Binding request without the magic cookie (RFC 3489)"),
      ("011300002112a442b7e7a701bc34d686fa87dfae", "Allocate error response"),
      ("001600002112a442b7e7a701bc34d686fa87dfae", "Send indication"),
      ("400100026869", "ChannelData on 0x4001, 2 bytes of data"), ("4001", "ChannelData, cut short"),
      ("16fefd000000", "no STUN: DTLS by its first byte"), ("8000aabb", "no STUN: RTP or RTCP by its first byte"),
    ])
  func titles(hex: String, title: String) throws {
    #expect(try explain(hex).title == title)
  }

  @Test(
    "Each attribute is explained in words",
    arguments: [
      ("0101000c2112a442b7e7a701bc34d686fa87dfae 002000080001a147e112a643", "XOR-MAPPED-ADDRESS", "192.0.2.1:32853"),
      (
        "0111 0010 2112a442b7e7a701bc34d686fa87dfae 0009 000c 00000401 556e617574680000", "ERROR-CODE",
        "401 \"Unauth\0\0\""
      ),
      ("0003 0008 2112a442b7e7a701bc34d686fa87dfae 0019 0004 11000000", "REQUESTED-TRANSPORT", "UDP"),
      ("0004 0008 2112a442b7e7a701bc34d686fa87dfae 000d 0004 00000258", "LIFETIME", "600 s"),
      (
        "0003 0008 2112a442b7e7a701bc34d686fa87dfae 0018 0001 80000000", "EVEN-PORT",
        "an even port, and the next one reserved"
      ),
      (
        "0001 0008 2112a442b7e7a701bc34d686fa87dfae 0003 0004 00000006", "CHANGE-REQUEST",
        "answer from the other address and port"
      ),
      ("0003 000c 2112a442b7e7a701bc34d686fa87dfae 8002 0008 0002000000010000", "PASSWORD-ALGORITHMS", "SHA-256, MD5"),
      ("0111 0008 2112a442b7e7a701bc34d686fa87dfae 000a 0004 7fff0026", "UNKNOWN-ATTRIBUTES", "0x7fff, PADDING"),
      (
        "0017 000c 2112a442b7e7a701bc34d686fa87dfae 8004 0008 0000060300000000", "ICMP", "type 3, code 3, data 00000000"
      ),
      ("0003 0008 2112a442b7e7a701bc34d686fa87dfae 7ffe 0002 abcd0000", "unknown", "abcd"),
    ])
  func attributes(hex: String, name: String, text: String) throws {
    let found = try explain(hex)
    #expect(found.attributes.map(\.name) == [name])
    #expect(found.attributes.first?.text == text)
    #expect(found.problems == [])
  }

  @Test(
    "Each fault of a message is reported",
    arguments: [
      ("000100042112a442b7e7a701bc34d686fa87dfae", "the length says 24 bytes with the header, and 20 are there"),
      ("000100022112a442b7e7a701bc34d686fa87dfae0000", "the length, 2, is no multiple of 4"),
      ("000100042112a442b7e7a701bc34d686fa87dfae 0006ffff", "USERNAME at offset 20 says 65535 bytes, and 0 are left"),
      ("40010004686900", "the length says 4 bytes of data, and 3 are there"),
      ("5001000468690000", "channels above 0x4FFF are reserved (RFC 8656 section 12)"),
    ])
  func problems(hex: String, problem: String) throws {
    #expect(try explain(hex).problems.contains(problem))
  }

  @Test("Attributes after MESSAGE-INTEGRITY are marked as ignored")
  func ignoredAttributes() throws {
    let hex =
      "0004 0020 2112a442b7e7a701bc34d686fa87dfae 0008 0014 0000000000000000000000000000000000000000"
      + "000d 0004 00000e10"
    #expect(try explain(hex).attributes.last?.remarks == ["after the integrity attribute: receivers ignore it"])
  }

  // MARK: - Hexadecimal

  @Test(
    "Hexadecimal text is read in its usual forms",
    arguments: [
      "000100002112a442", "00:01:00:00:21:12:a4:42", "0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xA4, 0x42",
      "{0x0, 0x1, 0,0 , 0x21, 0x12, 0xa4, 42}",
      "{0x00,0x01,0x00,0x00,0x21,0x12,0xa4,0x42};", #"\x00\x01\x00\x00\x21\x12\xa4\x42"#,
      "00000000: 0001 0000 2112 a442                      ....!..B", "\t0x0000:  0001 0000 2112 a442  ....!..B",
      "00000000  00 01 00 00 21 12 a4 42                           |....!..B|\n00000008",
      "unsigned char x[] = {\n  0x00, 0x01, 0x00, 0x00,\n  0x21, 0x12, 0xa4, 0x42\n};\nunsigned int x_len = 8;\n",
      "\"\\x00\\x01\\x00\\x00\" \\\n\"\\x21\\x12\\xa4\\x42\"\n", "0001 0000\n2112 a442\n",
    ])
  func hexadecimal(text: String) {
    #expect(HexText.bytes(text) == [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42])
  }

  @Test("Other text is not read as hexadecimal", arguments: ["", "xyz", "123", "stun.example.org", "00 0g"])
  func noHexadecimal(text: String) {
    #expect(HexText.bytes(text) == nil)
  }

  // MARK: - Captures

  /// Every message of a capture, in order.
  func messages(of file: [UInt8], _ source: IntegritySource = IntegritySource()) throws -> [Dissection] {
    var segments: [CapturedSegment] = []
    var capture = try PacketFile(file)
    while let frame = try capture.next() {
      let isCut = frame.originalByteCount > frame.bytes.count
      guard let segment = try? CapturedSegment.parse(frame.bytes, linkType: frame.linkType, isCut: isCut) else {
        continue
      }
      segments.append(segment)
    }
    var dissector = Dissector(source: source)
    return Found(segments).messages.map { dissector.dissect($0) }
  }

  @Test(
    "A capture of two relay checks against coturn is explained, over UDP and TCP",
    arguments: ["relay-udp-tcp.pcapng", "relay-udp-tcp-any.pcap"])
  func relayCaptures(name: String) throws {
    let file = try Paths.bytes("Tests/Corpora/\(name)")
    let found = try messages(of: file, IntegritySource(passwords: [Array("secret".utf8)]))
    let once = [
      "Allocate request", "Allocate error response", "Allocate request", "Allocate success response",
      "CreatePermission request", "CreatePermission success response", "Send indication", "Data indication",
      "ChannelBind request", "ChannelBind success response", "ChannelData on 0x4000, 48 bytes of data",
      "ChannelData on 0x4000, 48 bytes of data", "Refresh request", "Refresh success response", "Refresh request",
      "Refresh success response",
    ]
    // The peer sends a Binding request over UDP to learn its address, but not on loopback, as here.
    #expect(found.map(\.title) == once + once)
    #expect(found.allSatisfy { $0.problems.isEmpty && $0.isFingerprintRight != false && $0.isIntegrityRight != false })
    #expect(found.count { $0.isIntegrityRight == true } == 20)
  }

  @Test("Reordered, repeated and split segments give the same messages")
  func segments() throws {
    let message = try #require(HexText.bytes(Self.sample))
    let channel: [UInt8] = [0x40, 0, 0, 2, 1, 2, 0, 0]
    let stream = message + channel + message
    func segment(_ range: Range<Int>, isFirst: Bool = false) -> CapturedSegment {
      CapturedSegment(
        transport: .tcp(sequence: 0xFFFF_FFF0 &+ UInt32(range.lowerBound), isFirst: isFirst),
        source: SocketAddress(.ipv4Loopback, port: 1), destination: SocketAddress(.ipv4Loopback, port: 2),
        payload: Array(stream[range]))
    }
    let orders: [[Range<Int>]] = [
      [0..<224], [0..<10, 10..<50, 50..<224], [50..<224, 0..<50], [0..<50, 0..<50, 20..<100, 100..<224],
      [100..<224, 40..<120, 0..<60],
    ]
    for order in orders {
      let found = Found([segment(0..<0, isFirst: true)] + order.map { segment($0) })
      #expect(found.messages.map(\.bytes) == [message, Array(channel.prefix(6)), message], "\(order)")
    }
  }

  // MARK: - Hostile input

  @Test("Mutated messages, frames and captures never trap", .tags(.slow))
  func mutated() throws {
    let seed: UInt64 = 0xDEC0_0001
    print("decode seed \(seed)")
    var random = SplitMix(state: seed)
    let file = try Paths.bytes("Tests/Corpora/relay-udp-tcp.pcapng")
    var frames: [CapturedFrame] = []
    var capture = try PacketFile(file)
    while let frame = try capture.next() { frames.append(frame) }
    let source = IntegritySource(passwords: [Array("secret".utf8)])
    var dissector = Dissector(source: source)
    var segments: [CapturedSegment] = []
    let sample = try #require(HexText.bytes(Self.sample))
    for round in 0..<40_000 {
      let bytes = random.mutate(sample)
      _ = dissector.dissect(datagram: bytes)
      if round % 4 == 0 { _ = dissector.dissect(stream: bytes + random.mutate(sample)) }
      let frame = frames[Int.random(in: 0..<frames.count, using: &random)]
      let linkType: Int32 = round % 3 == 0 ? [0, 1, 12, 101, 108, 113, 228, 276].randomElement(using: &random) ?? 1 : 1
      let mutated = random.mutate(frame.bytes)
      if let segment = try? CapturedSegment.parse(mutated, linkType: linkType, isCut: round % 2 == 0) {
        _ = dissector.dissect(datagram: segment.payload)
        segments.append(segment)
      }
      _ = CapturedSegment.recognize(mutated)
      if segments.count == 100 {
        for message in Found(segments).messages { _ = dissector.dissect(message) }
        segments = []
      }
      _ = HexText.bytes(String(decoding: random.mutate(Array(Self.sample.utf8)), as: UTF8.self))
      guard round % 8 == 0 else { continue }
      _ = HexText.packets(String(decoding: random.mutate(Array(HexDumpTests.dump.utf8)), as: UTF8.self))
    }
    for _ in 0..<300 { _ = try? messages(of: random.mutate(file), source) }
  }

}
