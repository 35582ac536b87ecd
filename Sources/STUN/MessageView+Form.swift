internal import NetworkTypes

extension MessageView {
  /// The first attribute with a wrong length or form; nil if there is none. Checks the known comprehension-required
  /// attributes of requests, also those that the method does not expect, and the two optional ones whose form matters,
  /// such as ADDITIONAL-ADDRESS-FAMILY (RFC 8656 section 7.2). Handlers check it before they use the request.
  public var malformedAttribute: AttributeType? {
    let fixed: InlineArray<11, (type: AttributeType, byteCount: Int)> = [
      (.channelNumber, 4), (.lifetime, 4), (.requestedAddressFamily, 4), (.requestedTransport, 4), (.evenPort, 1),
      (.dontFragment, 0), (.reservationToken, 8), (.connectionID, 4), (.additionalAddressFamily, 4),
      (.changeRequest, 4), (.responsePort, 4),
    ]
    for index in fixed.indices
    where (range(of: fixed[index].type)?.count ?? fixed[index].byteCount) != fixed[index].byteCount {
      return fixed[index].type
    }
    let addresses: InlineArray<4, AttributeType> = [
      .xorPeerAddress, .mappedAddress, .xorMappedAddress, .xorRelayedAddress,
    ]
    for index in addresses.indices {
      guard let value = value(of: addresses[index]) else { continue }
      if (try? STUN.plainAddress(value)) == nil { return addresses[index] }
    }
    return (range(of: .unknownAttributes)?.count ?? 0) & 1 == 0 ? nil : .unknownAttributes
  }
}
