public import NetworkTypes

/// The frame at the beginning of a byte stream (TCP, TLS), which carries STUN messages and ChannelData back to back,
/// with ChannelData padded to four bytes (RFC 8489 section 6.2.2, RFC 8656 section 12.5).
public enum StreamFrame: Equatable, Sendable {
  /// The frame is not complete: at least `missing` more bytes are needed.
  case incomplete(missing: Int)
  /// A STUN message of `count` bytes.
  case message(count: Int)
  /// ChannelData: `count` bytes with its header, `padded` bytes with padding too.
  case channelData(count: Int, padded: Int)
  /// Neither a STUN message nor ChannelData: the stream cannot be read further and must be closed.
  case invalid

  /// Reads the beginning of the stream. It never asks for more than 65,556 bytes.
  ///
  /// - Parameter allowsChannelData: false until the stream has carried a STUN message. Before that message no channel
  ///   can be bound, and an HTTP request (`GET …`) would look like the beginning of a long ChannelData.
  @inlinable
  public init(_ bytes: RawSpan, allowsChannelData: Bool) {
    guard bytes.byteCount > 0 else {
      self = .incomplete(missing: 4)
      return
    }
    // The first byte excludes other protocols.
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
    // 0x5000 to 0x7FFF are channels of RFC 5766; data on a channel that is not bound is skipped (RFC 8656 section
    // 12.6).
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
