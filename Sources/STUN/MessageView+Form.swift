internal import NetworkTypes

extension MessageView {
  /// Whether the known comprehension-required attributes of requests have the length and form that their types have,
  /// and the two optional ones whose form matters: ADDITIONAL-ADDRESS-FAMILY (RFC 8656 section 7.2). Asked before
  /// anything of a request is used; an attribute that a method does not expect is looked at as well.
  public var isWellFormed: Bool {
    hasForm(.channelNumber, 4) && hasForm(.lifetime, 4) && hasForm(.requestedAddressFamily, 4)
      && hasForm(.requestedTransport, 4) && hasForm(.evenPort, 1) && hasForm(.dontFragment, 0)
      && hasForm(.reservationToken, 8) && hasForm(.connectionID, 4) && hasForm(.additionalAddressFamily, 4)
      && hasAddressForm(.xorPeerAddress) && hasForm(.changeRequest, 4) && hasForm(.responsePort, 4)
      && hasAddressForm(.mappedAddress) && hasAddressForm(.xorMappedAddress) && hasAddressForm(.xorRelayedAddress)
      && (range(of: .unknownAttributes)?.count ?? 0) & 1 == 0
  }

  private func hasForm(_ attribute: AttributeType, _ byteCount: Int) -> Bool {
    guard let range = range(of: attribute) else { return true }
    return range.count == byteCount
  }

  private func hasAddressForm(_ attribute: AttributeType) -> Bool {
    guard let value = value(of: attribute) else { return true }
    return (try? STUN.plainAddress(value)) != nil
  }
}
