public import NetworkTypes

/// A ChannelData message: a channel number, a length and that many bytes (RFC 8656 section 12.4).
///
/// ```
///   0                   1                   2                   3
///   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |         Channel Number        |            Length             |
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  /                       Application Data                        /
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
public struct ChannelData: Sendable {
  public static let headerByteCount = 4

  public let channel: UInt16
  /// The number of application data bytes after the header, without padding.
  public let count: Int

  /// Reads the header of a datagram or frame. Over UDP bytes after the data are padding; over a stream the framing has
  /// checked the length.
  @inlinable @inline(__always)
  public init(_ bytes: RawSpan) throws(DecodingError) {
    guard bytes.byteCount >= 4 else { throw .tooShort }
    channel = bytes.bigEndian16(at: 0)
    count = Int(bytes.bigEndian16(at: 2))
    guard count <= bytes.byteCount &- 4 else { throw .wrongLength }
  }

  /// The range of the application data in the message.
  @inlinable public var range: Range<Int> { 4..<(4 &+ count) }
}
