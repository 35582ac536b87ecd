internal import Log
internal import NetIO
internal import NetworkTypes
internal import TURN

/// Chooses the addresses of relays.
enum RelayAddresses {
  /// The configured addresses, else the source addresses of the default routes, else any global, else any private, else
  /// the loopback address. Never fails.
  static func detect(configured: [IPAddress], hostAddresses: [IPAddress], hasIPv6: Bool) -> [IPAddress] {
    if !configured.isEmpty { return configured }
    let families: [IPAddress.Family] = hasIPv6 ? [.ipv4, .ipv6] : [.ipv4]
    let found = families.compactMap { family in
      Interfaces.defaultRouteSource(family) ?? best(hostAddresses.filter { $0.family == family })
    }
    // A loopback address is used only if no family has another one: other hosts cannot reach it.
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

  /// The public addresses that clients get for several relay addresses, each with these relay addresses.
  static func shared(_ entries: [RelayedAddresses.Entry]) -> [(advertised: IPAddress, locals: [IPAddress])] {
    Set(entries.map(\.advertised)).sorted().compactMap { advertised in
      let locals = entries.filter { $0.advertised == advertised }.map(\.local)
      return locals.count > 1 ? (advertised, locals) : nil
    }
  }

  static let sharedEffect = "a NAT sends each port to one of them, so the peers of the others do not reach them"
  static let sharedRemedy =
    "name one of them in relay.addresses, or give each its own public address in relay.advertise: { LOCAL: PUBLIC }"

  /// Logs one line if clients would get a relayed address that other networks cannot reach: a warning for a server with
  /// configured users, information for a trial with the first user.
  static func warnIfPrivate(_ entries: [RelayedAddresses.Entry], listeners: [ListenerPlan], isTrial: Bool, log: Log) {
    let rules = PeerRules()
    let listensWidely = listeners.contains { $0.address.address.isUnspecified || rules.permits($0.address.address) }
    let hidden = entries.filter {
      $0.local == $0.advertised && !$0.local.isLoopback && !rules.permits($0.local)
    }
    guard listensWidely, !hidden.isEmpty else { return }
    let example = hidden.map { "\($0.local): YOUR-PUBLIC-IP" }.joined(separator: ", ")
    log.write(
      isTrial ? .info : .warning, "relay-address-private",
      ("addresses", .text(hidden.map { "\($0.local)" }.joined(separator: ","))),
      ("effect", "only clients in this network can use the relay"),
      ("remedy", "fine on a LAN; for the Internet set relay.advertise: auto, or { \(example) }"))
  }
}
