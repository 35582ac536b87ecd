internal import NetworkTypes

/// A STUN message as it lies in somebody's receive buffer: checked once, then read in place, never kept.
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
/// Only the first of several attributes of one type counts, and what comes after MESSAGE-INTEGRITY is not seen
/// but for MESSAGE-INTEGRITY-SHA256 and FINGERPRINT (RFC 8489 sections 14 and 14.5). RFC 8489 section 5.
public struct MessageView: ~Escapable {
  /// The whole message: header and attributes.
  public let bytes: RawSpan
  public let type: MessageType
  public let transactionID: TransactionID
  /// Where the attributes end that count: the first integrity attribute, FINGERPRINT, or the end of the message.
  public private(set) var protectedEnd: Int
  /// Comprehension-required types that the registry does not know, the first eight different ones (for 420).
  public private(set) var unknownRequired = InlineArray<8, UInt16>(repeating: 0)
  public private(set) var unknownRequiredCount = 0
  /// Header offset of each known type's first occurrence, 0 where it does not occur.
  private var offsets = InlineArray<38, UInt16>(repeating: 0)

  /// Reads a datagram, or one frame of a stream, that holds exactly one message.
  @_lifetime(copy bytes)
  public init(_ bytes: RawSpan) throws(DecodingError) {
    guard bytes.byteCount >= headerByteCount else { throw .tooShort }
    guard let type = MessageType(bits: bytes.bigEndian16(at: 0)) else { throw .notSTUN }
    let length = Int(bytes.bigEndian16(at: 2))
    guard bytes.bigEndian32(at: 4) == magicCookie else { throw .noMagicCookie }
    guard length & 3 == 0, length + headerByteCount == bytes.byteCount else { throw .wrongLength }
    // Offsets have 16 bits; no message of any use is longer.
    guard bytes.byteCount <= 0xFFFF else { throw .wrongLength }
    self.bytes = bytes
    self.type = type
    transactionID = TransactionID(high: bytes.bigEndian32(at: 8), low: bytes.bigEndian64(at: 12))
    protectedEnd = bytes.byteCount

    var offset = headerByteCount
    var isProtected = true
    // `offset` is always a multiple of four within the message, so four bytes of attribute header are there.
    while offset < bytes.byteCount {
      let attribute = AttributeType(rawValue: bytes.bigEndian16(at: offset))
      let padded = (Int(bytes.bigEndian16(at: offset + 2)) + 3) & ~3
      guard padded <= bytes.byteCount - offset - 4 else { throw .attributeOverrun }
      note(attribute, at: offset, isProtected: &isProtected)
      offset += 4 + padded
    }
  }

  private mutating func note(_ attribute: AttributeType, at offset: Int, isProtected: inout Bool) {
    let endsProtection =
      attribute == .messageIntegrity || attribute == .messageIntegritySHA256 || attribute == .fingerprint
    if endsProtection {
      // RFC 8489 section 14.5: after MESSAGE-INTEGRITY its SHA-256 sister still counts, after that only FINGERPRINT.
      if attribute == .messageIntegrity, has(.messageIntegritySHA256) { return }
      if isProtected { protectedEnd = offset }
      isProtected = false
    } else if !isProtected {
      return
    }
    if let slot = attribute.slot {
      if offsets[slot] == 0 { offsets[slot] = UInt16(truncatingIfNeeded: offset) }
    } else if attribute.isComprehensionRequired, unknownRequiredCount < 8, !isNoted(attribute) {
      unknownRequired[unknownRequiredCount] = attribute.rawValue
      unknownRequiredCount += 1
    }
  }

  private func isNoted(_ attribute: AttributeType) -> Bool {
    for index in 0..<unknownRequiredCount where unknownRequired[index] == attribute.rawValue { return true }
    return false
  }

  public func has(_ attribute: AttributeType) -> Bool { offset(of: attribute) != nil }

  /// Where the attribute's header begins.
  public func offset(of attribute: AttributeType) -> Int? {
    guard let slot = attribute.slot, offsets[slot] != 0 else { return nil }
    return Int(offsets[slot])
  }

  /// Where the first such attribute's value lies in `bytes`, padding not included.
  public func range(of attribute: AttributeType) -> Range<Int>? {
    guard let offset = offset(of: attribute) else { return nil }
    let start = offset + 4
    return start..<(start + Int(bytes.bigEndian16(at: offset + 2)))
  }

  /// The first such attribute's value, padding not included.
  @_lifetime(copy self)
  public func value(of attribute: AttributeType) -> RawSpan? {
    guard let range = range(of: attribute) else { return nil }
    return bytes.extracting(range)
  }

  /// Where the value of the next protected attribute of this type lies that begins at or after `offset`: for the
  /// one attribute that may repeat, XOR-PEER-ADDRESS of CreatePermission (RFC 8656 section 10.1).
  public func nextRange(of attribute: AttributeType, from offset: Int) -> Range<Int>? {
    var offset = max(offset, headerByteCount)
    while offset < protectedEnd {
      let length = Int(bytes.bigEndian16(at: offset + 2))
      if bytes.bigEndian16(at: offset) == attribute.rawValue { return (offset + 4)..<(offset + 4 + length) }
      offset += 4 + ((length + 3) & ~3)
    }
    return nil
  }
}
