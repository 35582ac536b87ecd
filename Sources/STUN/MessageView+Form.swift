internal import NetworkTypes

extension MessageView {
  /// The first attribute with a wrong length or form; nil if there is none. Checks the known comprehension-required
  /// attributes of requests, also those that the method does not expect, and the two optional ones whose form matters,
  /// such as ADDITIONAL-ADDRESS-FAMILY (RFC 8656 section 7.2). Handlers check it before they use the request.
  public var malformedAttribute: AttributeType? {
    var offset = headerByteCount
    while offset < protectedEnd {
      let type = AttributeType(rawValue: bytes.bigEndian16(at: offset))
      let byteCount = Int(bytes.bigEndian16(at: offset + 2))
      let start = offset + 4
      // Only the first of several attributes of one type counts.
      if !isWellFormed(type, start..<(start + byteCount)), self.offset(of: type) == offset { return type }
      offset = start + (byteCount + 3) & ~3
    }
    return nil
  }

  private func isWellFormed(_ type: AttributeType, _ range: Range<Int>) -> Bool {
    switch type {
    case .channelNumber, .lifetime, .requestedAddressFamily, .requestedTransport, .connectionID,
      .additionalAddressFamily, .changeRequest, .responsePort:
      range.count == 4
    case .evenPort: range.count == 1
    case .dontFragment: range.isEmpty
    case .reservationToken: range.count == 8
    case .xorPeerAddress, .mappedAddress, .xorMappedAddress, .xorRelayedAddress:
      (try? STUN.plainAddress(bytes.extracting(range))) != nil
    case .unknownAttributes: range.count.isMultiple(of: 2)
    default: true
    }
  }
}
