internal import NetworkTypes

/// A channel number of RFC 8656 section 12: 0x4000 to 0x4FFF.
public struct ChannelNumber: Hashable, Sendable {
  public let rawValue: UInt16

  /// The channel numbers of RFC 5766 section 11, which a server may still accept.
  public static let oldRange: ClosedRange<UInt16> = 0x4000...0x7FFF

  @inlinable
  public init?(rawValue: UInt16) {
    guard 0x4000...0x4FFF ~= rawValue else { return nil }
    self.rawValue = rawValue
  }
}

/// The protocol numbers in REQUESTED-TRANSPORT (RFC 8656 section 18.8, RFC 6062 section 6.2).
public enum RelayTransport: UInt8, Hashable, Sendable, BitwiseCopyable {
  case tcp = 6
  case udp = 17
}

extension MessageView {
  /// A 32-bit attribute; nil if there is none.
  public func word(_ attribute: AttributeType) throws(DecodingError) -> UInt32? {
    guard let value = value(of: attribute) else { return nil }
    guard value.byteCount == 4 else { throw .malformedAttribute }
    return value.bigEndian32(at: 0)
  }

  /// LIFETIME in seconds (RFC 8656 section 18.2).
  public func lifetime() throws(DecodingError) -> UInt32? { try word(.lifetime) }

  /// CHANNEL-NUMBER's 16 bits; the caller checks the range (RFC 8656 section 18.1).
  public func channelNumber() throws(DecodingError) -> UInt16? {
    guard let word = try word(.channelNumber) else { return nil }
    return UInt16(truncatingIfNeeded: word >> 16)
  }

  /// REQUESTED-TRANSPORT's protocol number (RFC 8656 section 18.8).
  public func requestedTransport() throws(DecodingError) -> UInt8? {
    guard let word = try word(.requestedTransport) else { return nil }
    return UInt8(truncatingIfNeeded: word >> 24)
  }

  /// The family in REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY, 1 or 2 if it is valid (RFC 8656 section
  /// 18.6).
  public func addressFamily(_ attribute: AttributeType) throws(DecodingError) -> UInt8? {
    guard let word = try word(attribute) else { return nil }
    return UInt8(truncatingIfNeeded: word >> 24)
  }

  /// EVEN-PORT's R bit: whether the next higher port should be reserved (RFC 8656 section 18.7).
  public func evenPort() throws(DecodingError) -> Bool? {
    guard let value = value(of: .evenPort) else { return nil }
    guard value.byteCount == 1 else { throw .malformedAttribute }
    return value.byte(at: 0) & 0x80 != 0
  }

  /// RESERVATION-TOKEN (RFC 8656 section 18.10).
  public func reservationToken() throws(DecodingError) -> UInt64? {
    guard let value = value(of: .reservationToken) else { return nil }
    guard value.byteCount == 8 else { throw .malformedAttribute }
    return value.bigEndian64(at: 0)
  }
}
