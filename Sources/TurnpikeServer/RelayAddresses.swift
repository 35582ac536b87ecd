internal import Metrics
internal import NetIO
internal import NetworkTypes
internal import TURN

/// Which addresses relays bind, and what clients are told.
enum RelayAddresses {
  /// The configured ones, else the source addresses of the default routes, else any global, else any private, else
  /// the loopback address: never a reason not to start.
  static func detect(configured: [IPAddress], hostAddresses: [IPAddress], hasIPv6: Bool) -> [IPAddress] {
    if !configured.isEmpty { return configured }
    let families: [IPAddress.Family] = hasIPv6 ? [.ipv4, .ipv6] : [.ipv4]
    let found = families.compactMap { family in
      Interfaces.defaultRouteSource(family) ?? best(hostAddresses.filter { $0.family == family })
    }
    return found.isEmpty ? [.ipv4Loopback] : found
  }

  private static func best(_ addresses: [IPAddress]) -> IPAddress? {
    let rules = PeerRules()
    let usable = addresses.filter { !$0.isLoopback && !isLinkLocal($0) }
    return usable.first { rules.permits($0) } ?? usable.first ?? addresses.first { $0.isLoopback }
  }

  private static func isLinkLocal(_ address: IPAddress) -> Bool {
    switch address.family {
    case .ipv4: address.low >> 16 == 0xA9FE
    case .ipv6: address.high >> 54 == 0xFE80 >> 6
    }
  }

  /// One loud warning where clients elsewhere would be told an address that they cannot reach.
  static func warnIfPrivate(_ entries: [RelayedAddresses.Entry], listeners: [ListenerPlan], log: Log) {
    let rules = PeerRules()
    let listensWidely = listeners.contains { $0.address.address.isUnspecified }
    for entry in entries where listensWidely && entry.local == entry.advertised {
      guard !entry.local.isLoopback, !rules.permits(entry.local) else { continue }
      log.warning(
        "relay-address-private", ("address", "\(entry.local)"),
        ("effect", "clients outside this network cannot reach their relays"),
        ("remedy", "behind a 1:1 NAT or in a container set relay.advertise: { \(entry.local): PUBLIC-ADDRESS }"))
    }
  }
}
