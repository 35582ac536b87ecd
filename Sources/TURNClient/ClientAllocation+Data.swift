public import NetworkTypes
public import STUN

extension ClientAllocation {
  /// The channel bound to a peer; nil if none.
  public func channel(of peer: SocketAddress) -> ChannelNumber? { channelsByPeer[peer] }

  /// Writes data for a peer into `writer`: as ChannelData if a channel is bound to the peer, else as a Send indication.
  /// Allocates nothing. False if the data is too long for the frame or the writer.
  public mutating func frame(_ data: RawSpan, to peer: SocketAddress, into writer: inout MessageWriter) -> Bool {
    guard let channel = channelsByPeer[peer] else { return frameIndication(data, to: peer, into: &writer) }
    guard data.byteCount <= 0xFFFF else { return false }
    writer.beginRaw()
    writer.appendRaw(bigEndian: channel.rawValue)
    writer.appendRaw(bigEndian: UInt16(data.byteCount))
    writer.appendRaw(data)
    // RFC 8656 section 12.5: padding over TCP and TLS; over UDP it may be left out.
    if settings.isStream { writer.appendRaw(zeros: (4 - data.byteCount & 3) & 3) }
    return !writer.isOverflown
  }

  /// Writes a Send indication (RFC 8656 section 11.1), whether or not a channel is bound.
  public mutating func frameIndication(
    _ data: RawSpan, to peer: SocketAddress, into writer: inout MessageWriter
  ) -> Bool {
    // A message's length field counts the attributes: an IPv6 address, the header of DATA and its padding.
    guard data.byteCount <= 0xFFFF - 32 else { return false }
    writer.begin(MessageType(.send, .indication), transactionID: TransactionID(from: &generator))
    writer.append(.xorPeerAddress, xor: peer)
    writer.append(.data, data)
    return !writer.isOverflown
  }

  mutating func receiveChannelData(_ bytes: RawSpan) -> Received {
    guard let header = try? ChannelData(bytes) else { return .discarded(.notSTUN) }
    guard let peer = peersByChannel[header.channel] else { return .discarded(.unexpected) }
    return .data(peer: peer, range: header.range, isChannelData: true)
  }

  mutating func receiveIndication(_ message: borrowing MessageView) -> Received {
    guard message.type.method == .data, message.unknownRequiredCount == 0 else { return .discarded(.unexpected) }
    guard let peer = (try? message.xorAddress(.xorPeerAddress)) ?? nil else { return .discarded(.malformed) }
    if message.has(.icmp) {
      guard let icmp = (try? message.icmp()) ?? nil else { return .discarded(.malformed) }
      return .icmp(peer: peer, type: icmp.type, code: icmp.code)
    }
    guard let range = message.range(of: .data) else { return .discarded(.malformed) }
    return .data(peer: peer, range: range, isChannelData: false)
  }
}
