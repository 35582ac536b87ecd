public import NetworkTypes
internal import STUN

/// Who may be a peer, by address: built-in denials of everything that is not the public internet, and what the
/// operator allows and denies on top.
///
/// The most specific rule wins; among configured rules deny wins a tie; a configured rule beats a built-in denial
/// of the same length. 6to4 and Teredo are denied always (RFC 8656 section 21.4).
public struct PeerRules: Sendable {
  private struct Rule {
    var block: CIDRBlock
    var allows: Bool
    var isConfigured: Bool
  }

  private var rules: [Rule]

  public init(allow: [CIDRBlock] = [], deny: [CIDRBlock] = []) {
    rules =
      Self.deniedUnlessAllowed.map { Rule(block: $0, allows: false, isConfigured: false) }
      + allow.map { Rule(block: Self.canonical($0), allows: true, isConfigured: true) }
      + deny.map { Rule(block: Self.canonical($0), allows: false, isConfigured: true) }
    // The first match decides: longest first, configured before built-in, deny before allow.
    rules.sort { first, second in
      if first.block.prefixLength != second.block.prefixLength {
        return first.block.prefixLength > second.block.prefixLength
      }
      if first.isConfigured != second.isConfigured { return first.isConfigured }
      return !first.allows && second.allows
    }
  }

  enum Decision {
    case denied
    /// Nothing speaks against it.
    case notDenied
    /// The operator named it.
    case allowed
  }

  /// What the rules say. The address is made canonical first, so no notation of an address goes around a rule.
  func decision(_ address: IPAddress) -> Decision {
    if Self.deniedAlways.contains(where: { $0.contains(address) }) { return .denied }
    let canonical = address.canonical
    for rule in rules where rule.block.contains(canonical) { return rule.allows ? .allowed : .denied }
    return .notDenied
  }

  /// Whether the address may be a peer.
  public func permits(_ address: IPAddress) -> Bool { decision(address) != .denied }

  /// Whether a client's address is known to be a tunnel's: its requests must not be served (RFC 8656 section 21.4).
  static func isTunneled(_ address: IPAddress) -> Bool {
    (deniedAlways + sixToFourRelays).contains { $0.contains(address) }
  }

  private static let sixToFourRelays = [CIDRBlock(IPAddress(192, 88, 99, 0), prefixLength: 24)]

  /// A rule written with an IPv6 form of IPv4 (`::ffff:10.0.0.0/104`) means the IPv4 block inside it.
  private static func canonical(_ block: CIDRBlock) -> CIDRBlock {
    guard block.prefixLength >= 96, let inner = block.base.embeddedIPv4 else { return block }
    return CIDRBlock(inner, prefixLength: block.prefixLength - 96)
  }

  static let deniedAlways = [
    CIDRBlock(IPAddress(ipv6High: 0x2002 << 48, low: 0), prefixLength: 16),
    CIDRBlock(IPAddress(ipv6High: 0x2001 << 48, low: 0), prefixLength: 32),
  ]

  /// RFC 6890 and its successors: what no stranger may reach through us unless the operator says so.
  static let deniedUnlessAllowed = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4", "::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001:db8::/32", "fc00::/7",
    "fe80::/10", "fec0::/10", "ff00::/8",
  ].compactMap { CIDRBlock($0) }
}

/// What the peer rules say of one address; what its port may be is decided with each packet.
enum AddressVerdict: UInt8 {
  /// No permission can be had.
  case forbidden
  /// Any port.
  case allowed
  /// An address of this server that the operator opened: any port but those of our own listeners and stores.
  case ownAddress
  /// A relay address of ours that the rules deny: only the ports of live allocations.
  case liveRelaysOnly
}

/// The peer rules together with what the server knows of itself.
public struct PeerGate: Sendable {
  /// A transport address of ours that no peer may have: a listener, a store. On an unspecified address it stands
  /// for that port on every address of the server.
  public typealias ClosedEndpoint = SocketAddress

  private let rules: PeerRules
  private let relayed: RelayedAddresses
  private let ownAddresses: Set<IPAddress>
  private let closed: [ClosedEndpoint]

  /// - Parameters:
  ///   - ownAddresses: the host's addresses; the loopback ranges count as ours without being named.
  ///   - closed: our listeners, stores and admin port, denied whatever is allowed.
  public init(
    rules: PeerRules, relayed: RelayedAddresses, ownAddresses: Set<IPAddress>, closed: [ClosedEndpoint]
  ) {
    self.rules = rules
    self.relayed = relayed
    self.ownAddresses = ownAddresses
    self.closed = closed
  }

  func verdict(_ address: IPAddress) -> AddressVerdict {
    // An IPv4 address in IPv6 clothes is judged by what is inside and then not sent to: no socket of ours speaks it.
    guard address.embeddedIPv4 == nil else { return .forbidden }
    switch rules.decision(address) {
    case .allowed: return isOwn(address) ? .ownAddress : .allowed
    // What listens on this host trusts who comes from it: a public address of ours is no peer like others.
    case .notDenied where !isOwn(address): return .allowed
    case .notDenied, .denied: return relayed.contains(address) ? .liveRelaysOnly : .forbidden
    }
  }

  /// Whether `peer` may be sent to or heard from, given the verdict on its address. A live relay opens its port for
  /// its own transport alone: what else this host has on a port of that number stays closed.
  @inline(__always)
  func permits(_ peer: SocketAddress, verdict: AddressVerdict, over transport: RelayTransport = .udp) -> Bool {
    switch verdict {
    case .allowed: true
    case .forbidden: false
    case .ownAddress: relayed.isLive(peer.address, port: peer.port, transport) || !isClosed(peer)
    case .liveRelaysOnly: relayed.isLive(peer.address, port: peer.port, transport)
    }
  }

  private func isOwn(_ address: IPAddress) -> Bool {
    address.isLoopback || address.isUnspecified || ownAddresses.contains(address) || relayed.contains(address)
      || closed.contains { $0.address == address }
  }

  private func isClosed(_ peer: SocketAddress) -> Bool {
    closed.contains { $0.port == peer.port && ($0.address.isUnspecified || isSame($0.address, peer.address)) }
  }

  /// The advertised form of a listener's address leads to it as well, and so does `0.0.0.0`.
  private func isSame(_ listener: IPAddress, _ peer: IPAddress) -> Bool {
    listener == peer || listener == relayed.translated(peer) || (peer.isUnspecified && listener.family == peer.family)
  }
}
