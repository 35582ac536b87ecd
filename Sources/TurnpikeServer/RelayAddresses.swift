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
    // A loopback address only where no family has anything better: it would be of use to nobody else.
    let better = found.filter { !$0.isLoopback }
    return better.isEmpty ? [found.first ?? .ipv4Loopback] : better
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
    let hidden = entries.filter {
      $0.local == $0.advertised && !$0.local.isLoopback && !rules.permits($0.local)
    }
    guard listensWidely, !hidden.isEmpty else { return }
    let example = hidden.map { "\($0.local): PUBLIC-ADDRESS" }.joined(separator: ", ")
    log.warning(
      "relay-address-private", ("addresses", hidden.map { "\($0.local)" }.joined(separator: ",")),
      ("effect", "CLIENTS OUTSIDE THIS NETWORK CANNOT REACH THEIR RELAYS"),
      ("remedy", "behind a 1:1 NAT or in a container set relay.advertise: { \(example) }"))
  }
}
