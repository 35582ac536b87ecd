internal import NetworkTypes
internal import STUN

/// The framing of data between client and server.
enum Frame {
  /// The header before each packet's data, the padding after it, and the length of all three.
  struct Template {
    var prefix: [UInt8]
    var padding: Int
    var byteCount: Int
  }

  /// ChannelData on the first channel, the only one that our clients bind.
  static func channelData(_ count: Int, isStream: Bool) -> Template {
    var buffer = ByteBuffer(capacity: 4)
    buffer.append(bigEndian: UInt16(0x4000))
    buffer.append(bigEndian: UInt16(truncatingIfNeeded: count))
    let padding = isStream ? -count & 3 : 0
    return Template(prefix: buffer.bytes.copied(), padding: padding, byteCount: 4 + count + padding)
  }

  /// A Send indication for a peer.
  static func indication(_ count: Int, to peer: SocketAddress) -> Template {
    var writer = MessageWriter()
    writer.begin(MessageType(.send, .indication), transactionID: TransactionID(high: 0x6C6F_6164, low: 1))
    writer.append(.xorPeerAddress, xor: peer)
    writer.appendHeader(of: .data, followedBy: count)
    let padding = -count & 3
    return Template(prefix: writer.bytes.copied(), padding: padding, byteCount: writer.count + count + padding)
  }

  /// The data of ChannelData or of a Data indication; nil for everything else.
  @inline(__always)
  static func data(in message: RawSpan) -> Range<Int>? {
    guard message.byteCount >= 4 else { return nil }
    let first = message.bigEndian16(at: 0)
    if first & 0xC000 == 0x4000 {
      let count = Int(message.bigEndian16(at: 2))
      return count <= message.byteCount - 4 ? 4..<(4 + count) : nil
    }
    guard first == dataIndication else { return nil }
    var offset = headerByteCount
    while offset + 4 <= message.byteCount {
      let count = Int(message.bigEndian16(at: offset + 2))
      let begin = offset + 4
      guard count <= message.byteCount - begin else { return nil }
      if message.bigEndian16(at: offset) == AttributeType.data.rawValue { return begin..<(begin + count) }
      offset = begin + ((count + 3) & ~3)
    }
    return nil
  }

  private static let dataIndication: UInt16 = 0x0017
  static let bindingSuccess: UInt16 = 0x0101
}
