internal import NetworkTypes

/// The bytes that are charged for the unauthenticated clients of each address (IPv6: /56), to find the heaviest one when
/// the memory is used up. A client with few connections may hold most of it, with messages that it does not complete or
/// answers that it does not read.
struct ChargedBytes {
  private struct Network {
    var total = 0
    var sources: [IPAddress: Int] = [:]

    /// Changes the bytes of a source; returns the network's total.
    mutating func change(_ source: IPAddress, by step: Int) -> Int {
      total += step
      let own = sources[source, default: 0] + step
      sources[source] = own > 0 ? own : nil
      return total
    }
  }

  /// By IPv4 /24 or IPv6 /48, of which each has at most 256 sources.
  private var networks: [IPAddress: Network] = [:]
  /// The networks by the size class of their bytes.
  private var classes = [Set<IPAddress>](repeating: [], count: 4 * 64)

  /// The bytes of an address.
  func bytes(of address: IPAddress) -> Int { networks[address.network]?.sources[address.source] ?? 0 }

  /// Charges bytes of an address, or releases them if the number is negative.
  mutating func change(_ address: IPAddress, by step: Int) {
    guard step != 0 else { return }
    let name = address.network
    // In place: a copy would copy the network's sources.
    let total = networks[name, default: Network()].change(address.source, by: step)
    if total <= 0 { networks[name] = nil }
    let old = total - step > 0 ? Self.sizeClass(total - step) : nil
    let new = total > 0 ? Self.sizeClass(total) : nil
    guard old != new else { return }
    if let old { classes[old].remove(name) }
    if let new { classes[new].insert(name) }
  }

  /// The heaviest address of a network in the highest class; nil if nothing is charged.
  var heaviest: (address: IPAddress, bytes: Int)? {
    guard let name = classes.last(where: { !$0.isEmpty })?.first else { return nil }
    return networks[name]?.sources.max { $0.value < $1.value }.map { ($0.key, $0.value) }
  }

  /// Four classes for each power of two, so that two networks of one class differ by less than a quarter.
  private static func sizeClass(_ bytes: Int) -> Int {
    let width = Int.bitWidth - max(bytes, 4).leadingZeroBitCount
    return 4 * (width - 1) + (max(bytes, 4) >> (width - 3)) & 3
  }
}
