import Dissection
import NetworkTypes

/// The messages and contents that are found in segments.
struct Found {
  var messages: [MessageFinder.Message] = []
  /// The content of each segment.
  var contents: [MessageFinder.Content] = []

  init(_ segments: [CapturedSegment]) {
    var survey = FlowSurvey()
    for segment in segments { survey.take(segment) }
    var finder = MessageFinder(survey)
    for segment in segments {
      let (content, more) = finder.take(segment)
      contents.append(content)
      messages += more
    }
  }
}

/// Makes frames and capture files.
enum CaptureBuilder {
  static let client = SocketAddress(IPAddress(10, 0, 0, 1), port: 40_000)
  static let server = SocketAddress(IPAddress(10, 0, 0, 2), port: 3478)

  static func udp(
    _ payload: [UInt8], from source: SocketAddress = client, to destination: SocketAddress = server
  ) -> CapturedSegment {
    CapturedSegment(transport: .udp, source: source, destination: destination, payload: payload)
  }

  /// Segments of one direction of a stream, one for each payload.
  static func tcp(
    _ payloads: [[UInt8]], from source: SocketAddress = client, to destination: SocketAddress = server,
    isFromStart: Bool = true
  ) -> [CapturedSegment] {
    var sequence: UInt32 = 1000
    var segments: [CapturedSegment] = []
    if isFromStart {
      segments.append(
        CapturedSegment(
          transport: .tcp(sequence: sequence, isFirst: true), source: source, destination: destination, payload: []))
    }
    for payload in payloads {
      segments.append(
        CapturedSegment(
          transport: .tcp(sequence: sequence, isFirst: false), source: source, destination: destination,
          payload: payload))
      sequence &+= UInt32(payload.count)
    }
    return segments
  }

  // MARK: - Frames

  static func word(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 255), UInt8(value & 255)] }

  /// UDP over IPv4.
  static func packet(_ payload: [UInt8], port: Int = 3478) -> [UInt8] {
    var header: [UInt8] = [0x45, 0] + word(28 + payload.count) + [0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
    var sum = stride(from: 0, to: 20, by: 2).reduce(0) { $0 + Int(header[$1]) << 8 + Int(header[$1 + 1]) }
    sum = (sum & 0xFFFF) + sum >> 16
    header.replaceSubrange(10..<12, with: word(~((sum & 0xFFFF) + sum >> 16) & 0xFFFF))
    return header + word(40_000) + word(port) + word(8 + payload.count) + [0, 0] + payload
  }

  static func ethernet(_ packet: [UInt8]) -> [UInt8] {
    [UInt8](repeating: 2, count: 12) + (packet[0] >> 4 == 6 ? [0x86, 0xDD] : [8, 0]) + packet
  }

  // MARK: - pcapng

  struct Interface {
    var linkType: Int
    var snapshotLength = 0
    var options: [UInt8] = []
  }

  struct Packet {
    var interface = 0
    var bytes: [UInt8]
    var originalByteCount: Int?
    var time: UInt64 = 0
  }

  static func pcapng(
    _ interfaces: [Interface], _ packets: [Packet], isBigEndian: Bool = false, between: [UInt8] = []
  ) -> [UInt8] {
    func number(_ value: UInt64, _ count: Int) -> [UInt8] {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
      return isBigEndian ? bytes.reversed() : bytes
    }
    func block(_ type: UInt64, _ body: [UInt8]) -> [UInt8] {
      let padded = body + [UInt8](repeating: 0, count: (4 - body.count & 3) & 3)
      let length = number(UInt64(12 + padded.count), 4)
      return number(type, 4) + length + padded + length
    }
    var file = block(0x0A0D_0D0A, number(0x1A2B_3C4D, 4) + number(1, 2) + number(0, 2) + number(.max, 8))
    for interface in interfaces {
      file += block(
        1,
        number(UInt64(interface.linkType), 2) + [0, 0] + number(UInt64(interface.snapshotLength), 4) + interface.options
      )
    }
    file += between
    for packet in packets {
      let original = UInt64(packet.originalByteCount ?? packet.bytes.count)
      file += block(
        6,
        number(UInt64(packet.interface), 4) + number(packet.time >> 32, 4) + number(packet.time & 0xFFFF_FFFF, 4)
          + number(UInt64(packet.bytes.count), 4) + number(original, 4) + packet.bytes)
    }
    return file
  }
}
