public import NetworkTypes

/// Client addresses that get no answer: an immutable set of blocks, made for one binary search.
public struct BanList: Sendable, Equatable {
  /// A range of addresses of one family, both ends included.
  private struct Interval: Sendable, Equatable {
    var first: IPAddress
    var last: IPAddress
  }

  /// The intervals in ascending order; no two overlap.
  private let ranges: [Interval]
  /// Whether there is no ban; a packet's path checks only this flag.
  public let isEmpty: Bool

  public init(_ blocks: [CIDRBlock] = []) {
    var merged: [Interval] = []
    // Two blocks either are apart, or one contains the other; the larger one comes first.
    for block in blocks.sorted(by: { ($0.base, $0.prefixLength) < ($1.base, $1.prefixLength) }) {
      if let last = merged.last, block.base.family == last.last.family, block.base <= last.last { continue }
      merged.append(Interval(first: block.base, last: block.last))
    }
    ranges = merged
    isEmpty = merged.isEmpty
  }

  public func contains(_ address: IPAddress) -> Bool {
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].first <= address { low = middle + 1 } else { high = middle }
    }
    return low > 0 && address <= ranges[low - 1].last
  }
}

extension CIDRBlock {
  /// The last address of the range.
  fileprivate var last: IPAddress {
    switch base.family {
    case .ipv4:
      return IPAddress(ipv4: base.ipv4Bits | (prefixLength == 0 ? .max : prefixLength == 32 ? 0 : .max >> prefixLength))
    case .ipv6:
      let high: UInt64 = prefixLength >= 64 ? 0 : .max >> prefixLength
      let low: UInt64 = prefixLength <= 64 ? .max : prefixLength == 128 ? 0 : .max >> (prefixLength - 64)
      return IPAddress(ipv6High: base.high | high, low: base.low | low)
    }
  }
}

extension Relay {
  /// Replaces the bans.
  public mutating func update(bans: BanList) { self.bans = bans }

  /// Whether the server ignores new clients at this address. Without bans it only reads a flag.
  @inline(__always)
  public func isBanned(_ address: IPAddress) -> Bool { !bans.isEmpty && bans.contains(address) }

  /// Whether a message is a request of a banned client without an allocation. Indications and ChannelData, the path of
  /// media, are not looked at: without an allocation they get no answer anyway.
  @inline(__always)
  func isBanned(_ bytes: RawSpan, from client: ClientPath) -> Bool {
    guard !bans.isEmpty, bytes.byteCount >= 2, bytes.byte(at: 0) & 0x01 == 0, bytes.byte(at: 1) & 0x10 == 0 else {
      return false
    }
    return bans.contains(client.address.address) && !hasAllocation(client)
  }
}
