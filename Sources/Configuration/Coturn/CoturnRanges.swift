internal import NetworkTypes

/// A range of addresses as coturn writes it (`10.0.0.0-10.255.255.255`, `10.0.0.0/8`, one address), as blocks.
enum CoturnRanges {
  /// The smallest list of blocks that cover exactly the range; nil if the text is no range.
  static func blocks(_ text: String) -> [CIDRBlock]? {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    if parts.count == 1 {
      if let block = CIDRBlock(text) { return [block] }
      // coturn ignores bits beyond the prefix.
      let halves = text.split(separator: "/", omittingEmptySubsequences: false)
      guard halves.count == 2, let address = IPAddress(halves[0]), let length = Int(halves[1]),
        (0...address.family.bitCount).contains(length)
      else { return nil }
      return [CIDRBlock(address, prefixLength: length)]
    }
    guard parts.count == 2, let first = IPAddress(parts[0]), let last = IPAddress(parts[1]),
      first.family == last.family
    else { return nil }
    return blocks(from: first, through: last)
  }

  private static func blocks(from first: IPAddress, through last: IPAddress) -> [CIDRBlock]? {
    let bitCount = first.family.bitCount
    var next = first.number
    let end = last.number
    guard next <= end else { return nil }
    var blocks: [CIDRBlock] = []
    while true {
      // The largest block that begins here and ends within the range.
      var length = bitCount - min(next.trailingZeroBitCount, bitCount)
      while blockEnd(next, length, bitCount) > end { length += 1 }
      blocks.append(CIDRBlock(IPAddress(number: next, family: first.family), prefixLength: length))
      let reached = blockEnd(next, length, bitCount)
      if reached >= end { return blocks }
      next = reached + 1
    }
  }

  private static func blockEnd(_ start: UInt128, _ length: Int, _ bitCount: Int) -> UInt128 {
    let hostBits = bitCount - length
    return hostBits >= 128 ? .max : start | ((1 << UInt128(hostBits)) - 1)
  }
}

extension IPAddress {
  /// The address as a number: 32 bits of IPv4, 128 of IPv6.
  fileprivate var number: UInt128 { UInt128(high) << 64 | UInt128(low) }

  fileprivate init(number: UInt128, family: IPAddress.Family) {
    switch family {
    case .ipv4: self.init(ipv4: UInt32(truncatingIfNeeded: number))
    case .ipv6: self.init(ipv6High: UInt64(truncatingIfNeeded: number >> 64), low: UInt64(truncatingIfNeeded: number))
    }
  }
}
