/// A range of addresses that share their first `prefixLength` bits (RFC 4632 notation: `10.0.0.0/8`).
public struct CIDRBlock: Hashable, Sendable {
  /// The first address of the range; bits beyond the prefix are zero.
  public let base: IPAddress
  public let prefixLength: Int

  /// The block of `prefixLength` bits that contains `address`; the length is clamped to the family's.
  public init(_ address: IPAddress, prefixLength: Int) {
    self.prefixLength = min(max(prefixLength, 0), address.family.bitCount)
    base = address.masked(to: self.prefixLength)
  }

  public func contains(_ address: IPAddress) -> Bool {
    address.family == base.family && address.masked(to: prefixLength) == base
  }
}

extension CIDRBlock: CustomStringConvertible {
  /// Reads `ADDRESS/LENGTH`, or an address alone as a block of one. Nil for other text, and if bits beyond the prefix
  /// are set: `10.0.0.1/8` is probably a mistake.
  public init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard let first = parts.first, let address = IPAddress(first) else { return nil }
    switch parts.count {
    case 1:
      self.init(address, prefixLength: address.family.bitCount)
    case 2:
      guard let length = Int(decimalDigits: parts[1]), length <= address.family.bitCount else { return nil }
      self.init(address, prefixLength: length)
      guard base == address else { return nil }
    default:
      return nil
    }
  }

  public var description: String { "\(base)/\(prefixLength)" }
}
