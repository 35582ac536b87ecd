internal import NetworkTypes

/// A STUN message in a receive buffer: checked once, read in place, and never kept longer than the buffer (RFC 8489
/// section 5).
///
/// ```
///   0                   1                   2                   3
///   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |0 0|     STUN Message Type     |         Message Length        |
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |                         Magic Cookie                          |
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///  |                     Transaction ID (96 bits)                  |
///  |                                                               |
///  |                                                               |
///  +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
/// ```
///
/// Only the first of several attributes of one type counts, and attributes after MESSAGE-INTEGRITY are ignored, except
/// MESSAGE-INTEGRITY-SHA256 and FINGERPRINT (RFC 8489 sections 14 and 14.5).
public struct MessageView: ~Escapable {
  /// The whole message: header and attributes.
  public let bytes: RawSpan
  public let type: MessageType
  public let transactionID: TransactionID
  /// The end of the attributes that count: the first integrity attribute, FINGERPRINT, or the end of the message.
  public private(set) var protectedEnd: Int
  /// The first eight different comprehension-required types that are unknown (for 420).
  public private(set) var unknownRequired = InlineArray<8, UInt16>(repeating: 0)
  public private(set) var unknownRequiredCount = 0
  /// Header offset of each known type's first occurrence, 0 if it does not occur.
  private var offsets = InlineArray<38, UInt16>(repeating: 0)

  /// Reads a datagram, or one frame of a stream, that holds exactly one message.
  @_lifetime(copy bytes)
  public init(_ bytes: RawSpan) throws(DecodingError) {
    guard bytes.byteCount >= headerByteCount else { throw .tooShort }
    guard let type = MessageType(bits: bytes.bigEndian16(at: 0)) else { throw .notSTUN }
    let length = Int(bytes.bigEndian16(at: 2))
    guard bytes.bigEndian32(at: 4) == magicCookie else { throw .noMagicCookie }
    guard length & 3 == 0, length + headerByteCount == bytes.byteCount else { throw .wrongLength }
    // Offsets have 16 bits; no valid request is longer.
    guard bytes.byteCount <= 0xFFFF else { throw .wrongLength }
    self.bytes = bytes
    self.type = type
    transactionID = TransactionID(high: bytes.bigEndian32(at: 8), low: bytes.bigEndian64(at: 12))
    protectedEnd = bytes.byteCount

    var offset = headerByteCount
    var isProtected = true
    // `offset` is always a multiple of four within the message, so a four-byte attribute header fits.
    while offset < bytes.byteCount {
      let attribute = AttributeType(rawValue: bytes.bigEndian16(at: offset))
      let padded = (Int(bytes.bigEndian16(at: offset + 2)) + 3) & ~3
      guard padded <= bytes.byteCount - offset - 4 else { throw .attributeOverrun }
      index(attribute, at: offset, isProtected: &isProtected)
      offset += 4 + padded
    }
  }

  private mutating func index(_ attribute: AttributeType, at offset: Int, isProtected: inout Bool) {
    let endsProtection =
      attribute == .messageIntegrity || attribute == .messageIntegritySHA256 || attribute == .fingerprint
    if endsProtection {
      // MESSAGE-INTEGRITY-SHA256 may follow MESSAGE-INTEGRITY, and FINGERPRINT may follow both (RFC 8489 section 14.5).
      if attribute == .messageIntegrity, has(.messageIntegritySHA256) { return }
      if isProtected { protectedEnd = offset }
      isProtected = false
    } else if !isProtected {
      return
    }
    if let slot = attribute.slot {
      if offsets[slot] == 0 { offsets[slot] = UInt16(truncatingIfNeeded: offset) }
    } else if attribute.isComprehensionRequired, unknownRequiredCount < 8, !isListed(attribute) {
      unknownRequired[unknownRequiredCount] = attribute.rawValue
      unknownRequiredCount += 1
    }
  }

  private func isListed(_ attribute: AttributeType) -> Bool {
    for index in 0..<unknownRequiredCount where unknownRequired[index] == attribute.rawValue { return true }
    return false
  }

  /// Whether the message has an attribute of this type that counts.
  public func has(_ attribute: AttributeType) -> Bool { offset(of: attribute) != nil }

  /// The offset of the attribute's header.
  public func offset(of attribute: AttributeType) -> Int? {
    guard let slot = attribute.slot, offsets[slot] != 0 else { return nil }
    return Int(offsets[slot])
  }

  /// The range in `bytes` of the value of the first attribute of this type, without padding.
  public func range(of attribute: AttributeType) -> Range<Int>? {
    guard let offset = offset(of: attribute) else { return nil }
    let start = offset + 4
    return start..<(start + Int(bytes.bigEndian16(at: offset + 2)))
  }

  /// The value of the first attribute of this type, without padding.
  @_lifetime(copy self)
  public func value(of attribute: AttributeType) -> RawSpan? {
    guard let range = range(of: attribute) else { return nil }
    return bytes.extracting(range)
  }

  /// The range of the value of the next protected attribute of this type at or after `offset`: for XOR-PEER-ADDRESS in
  /// CreatePermission, the only attribute that may repeat (RFC 8656 section 10.1).
  ///
  /// - Parameter offset: 0 at first, then the end of the previous range. Padding is skipped. Any other offset gives nil
  ///   or some range within the message.
  public func nextRange(of attribute: AttributeType, from offset: Int) -> Range<Int>? {
    guard offset <= protectedEnd else { return nil }
    var offset = max((offset + 3) & ~3, headerByteCount)
    while offset < protectedEnd {
      let end = offset + 4 + Int(bytes.bigEndian16(at: offset + 2))
      guard end <= protectedEnd else { return nil }
      if bytes.bigEndian16(at: offset) == attribute.rawValue { return (offset + 4)..<end }
      offset = (end + 3) & ~3
    }
    return nil
  }
}
