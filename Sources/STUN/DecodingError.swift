/// The reason why bytes are not a STUN message. The server counts it, and drops the datagram, or answers 400 if it
/// recognises a request.
public enum DecodingError: Error, Equatable, Sendable, CaseIterable {
  /// Fewer than the 20 bytes of a header, or of the 4 of ChannelData.
  case tooShort
  /// The two top bits are not zero: another protocol on the same port.
  case notSTUN
  /// No magic cookie: an RFC 3489 client, or another protocol.
  case noMagicCookie
  /// The length field is no multiple of four, or differs from the received length.
  case wrongLength
  /// An attribute reaches beyond the end of the message.
  case attributeOverrun
  /// An attribute's value does not have the length or form of its type.
  case malformedAttribute
}
