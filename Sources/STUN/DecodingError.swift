/// Why bytes are no STUN message. A value to count: such a datagram is dropped, or answered 400 where it was
/// recognisably a request.
public enum DecodingError: Error, Equatable, Sendable, CaseIterable {
  /// Fewer than the 20 bytes of a header, or of the 4 of ChannelData.
  case tooShort
  /// The two top bits are not zero: something else shares the port.
  case notSTUN
  /// No magic cookie: a client of RFC 3489, or noise.
  case noMagicCookie
  /// The length field is no multiple of four, or is not what arrived.
  case wrongLength
  /// An attribute reaches beyond the end of the message.
  case attributeOverrun
  /// An attribute's value has not the length or form that its type has.
  case malformedAttribute
}
