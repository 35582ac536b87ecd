public import NetworkTypes

/// What a byte stream from a client begins with, as TCP and TLS carry it: STUN messages and ChannelData back to back,
/// ChannelData padded to four bytes (RFC 8489 section 6.2.2, RFC 8656 section 12.5).
public enum StreamFrame: Equatable, Sendable {
  /// More bytes must come before anything can be told; at least `missing` of them.
  case incomplete(missing: Int)
  /// A STUN message of `count` bytes.
  case message(count: Int)
  /// ChannelData: `count` bytes with its header, `padded` with padding too.
  case channelData(count: Int, padded: Int)
  /// Neither: the stream cannot be read any further and must be closed.
  case invalid

  /// Tells what the stream begins with. Never asks for more than 65,556 bytes.
  ///
  /// - Parameter allowsChannelData: false until the stream has carried a STUN message. No client can have bound a
  ///   channel before, and an HTTP request (`GET …`) would pass for the beginning of a long ChannelData.
  @inlinable
  public init(_ bytes: RawSpan, allowsChannelData: Bool) {
    guard bytes.byteCount > 0 else {
      self = .incomplete(missing: 4)
      return
    }
    // The first byte tells already whether it can be anything: strays go at once.
    let first = bytes.byte(at: 0)
    guard first <= 0x03 || (allowsChannelData && 0x40...0x7F ~= first) else {
      self = .invalid
      return
    }
    guard bytes.byteCount >= 4 else {
      self = .incomplete(missing: 4 - bytes.byteCount)
      return
    }
    let length = Int(bytes.bigEndian16(at: 2))
    switch first {
    case 0x00...0x03:
      guard length & 3 == 0 else {
        self = .invalid
        return
      }
      if bytes.byteCount >= 8, bytes.bigEndian32(at: 4) != magicCookie {
        self = .invalid
        return
      }
      let count = 20 + length
      self = bytes.byteCount >= count ? .message(count: count) : .incomplete(missing: count - bytes.byteCount)
    // Above 0x4FFF no channel can be bound: such data is read over (RFC 8656 section 12.6).
    case 0x40...0x7F:
      let padded = 4 + ((length + 3) & ~3)
      self =
        bytes.byteCount >= padded
        ? .channelData(count: 4 + length, padded: padded) : .incomplete(missing: padded - bytes.byteCount)
    default:
      self = .invalid
    }
  }
}
