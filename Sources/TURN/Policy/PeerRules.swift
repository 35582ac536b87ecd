public import NetworkTypes
internal import STUN

/// Rules for peer addresses: built-in denials of everything outside the public internet, and the operator's rules. In
/// IPv6 only 2000::/3 is public (RFC 4291 section 2.4), and parts of it are denied too.
///
/// The most specific rule wins; among configured rules deny wins a tie; a configured rule beats a built-in denial of
/// the same length. 6to4 and Teredo are always denied (RFC 8656 section 21.4).
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
    /// No rule matches the address.
    case notDenied
    /// A configured rule allows the address.
    case allowed
  }

  /// The decision on an address. It is made canonical first, so that no notation of an address evades a rule.
  func decision(_ address: IPAddress) -> Decision { judge(address).decision }

  /// The decision, and the block of the rule that made it; nil if no rule matches.
  ///
  /// An ISATAP address is denied if its own block or its embedded IPv4 address is denied, because its packets go to the
  /// IPv4 address.
  func judge(_ address: IPAddress) -> (decision: Decision, block: CIDRBlock?) {
    if let block = Self.deniedAlways.first(where: { $0.contains(address) }) { return (.denied, block) }
    let result = match(address.canonical)
    guard result.decision != .denied, let inner = address.isatapIPv4 else { return result }
    let innerResult = match(inner)
    return innerResult.decision == .denied ? innerResult : result
  }

  private func match(_ address: IPAddress) -> (decision: Decision, block: CIDRBlock?) {
    guard let rule = rules.first(where: { $0.block.contains(address) }) else { return (.notDenied, nil) }
    return (rule.allows ? .allowed : .denied, rule.block)
  }

  /// Whether the address may be a peer.
  public func permits(_ address: IPAddress) -> Bool { decision(address) != .denied }

  /// Whether a client's address belongs to a tunnel: its requests must not be served (RFC 8656 section 21.4).
  static func isTunneled(_ address: IPAddress) -> Bool {
    (deniedAlways + sixToFourRelays).contains { $0.contains(address) }
  }

  private static let sixToFourRelays = [CIDRBlock(IPAddress(192, 88, 99, 0), prefixLength: 24)]

  /// A rule with an IPv6 form of IPv4 (`::ffff:10.0.0.0/104`) means the embedded IPv4 block.
  private static func canonical(_ block: CIDRBlock) -> CIDRBlock {
    guard block.prefixLength >= 96, let inner = block.base.embeddedIPv4 else { return block }
    return CIDRBlock(inner, prefixLength: block.prefixLength - 96)
  }

  static let deniedAlways = [
    CIDRBlock(IPAddress(ipv6High: 0x2002 << 48, low: 0), prefixLength: 16),
    CIDRBlock(IPAddress(ipv6High: 0x2001 << 48, low: 0), prefixLength: 32),
  ]

  /// RFC 6890 and its successors: blocks that clients may not reach unless the operator allows it. The IPv6 blocks
  /// outside 2000::/3 come first. Blocks inside them with a special use are listed too, so that a rule that allows the
  /// larger block does not open them.
  static let deniedUnlessAllowed = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4", "240.0.0.0/4", "::/3", "4000::/2", "8000::/1", "::/128", "::1/128", "64:ff9b:1::/48", "100::/64",
    "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    // In 2000::/3: benchmarking, ORCHID and its successor, documentation.
    "2001:2::/48", "2001:10::/28", "2001:20::/28", "2001:db8::/32", "3fff::/20",
  ].compactMap { CIDRBlock($0) }
}

/// The verdict of the peer rules on an address; the port is checked with each packet.
enum AddressVerdict: UInt8 {
  /// No permission is granted.
  case forbidden
  /// Every port is allowed.
  case allowed
  /// An address of this server that the operator allows: any port except our own listeners and stores.
  case ownAddress
  /// A relay address of ours that the rules deny: ports of live allocations only.
  case liveRelaysOnly
}

/// The peer rules, and the server's own addresses and listeners.
public struct PeerGate: Sendable {
  /// A transport address of ours that no peer may have, such as a listener or store. With an unspecified address it
  /// covers the port on every address of the server.
  public typealias ClosedEndpoint = SocketAddress

  private let rules: PeerRules
  let relayed: RelayedAddresses
  private let ownAddresses: Set<IPAddress>
  private let closed: [ClosedEndpoint]

  /// - Parameters:
  ///   - ownAddresses: the host's addresses; the loopback ranges always count as ours.
  ///   - closed: our listeners, stores and admin port, which no rule can open.
  public init(
    rules: PeerRules, relayed: RelayedAddresses, ownAddresses: Set<IPAddress>, closed: [ClosedEndpoint]
  ) {
    self.rules = rules
    self.relayed = relayed
    self.ownAddresses = ownAddresses
    self.closed = closed
  }

  func verdict(_ address: IPAddress) -> AddressVerdict {
    // IPv6 forms that embed an IPv4 address are always refused.
    guard address.embeddedIPv4 == nil else { return .forbidden }
    // An ISATAP address may lead to this host too.
    if let inner = address.isatapIPv4, verdict(inner) != .allowed { return .forbidden }
    switch rules.decision(address) {
    case .allowed: return isOwn(address) ? .ownAddress : .allowed
    // Local services may trust local sources, so our own public addresses need an explicit allow.
    case .notDenied where !isOwn(address): return .allowed
    case .notDenied, .denied: return relayed.contains(address) ? .liveRelaysOnly : .forbidden
    }
  }

  /// The rule that denies a peer, for the log.
  func rule(against peer: SocketAddress) -> PeerRefusal.Rule {
    let address = peer.address
    if address.embeddedIPv4 != nil { return .embeddedIPv4 }
    if let inner = address.isatapIPv4, verdict(inner) != .allowed {
      return rule(against: SocketAddress(inner, port: peer.port))
    }
    let judged = rules.judge(address)
    if judged.decision != .allowed, relayed.contains(address) { return .noLiveRelay }
    switch judged.decision {
    case .denied: return judged.block.map { .block($0) } ?? .ownAddress
    case .allowed: return .ownListener
    case .notDenied: return .ownAddress
    }
  }

  /// Whether data may pass to and from `peer`, given the verdict on its address. A live relay opens its port for its
  /// own transport only: other services on a port of this number stay closed.
  @inline(__always)
  func permits(_ peer: PeerAddress, verdict: AddressVerdict, over transport: RelayTransport = .udp) -> Bool {
    switch verdict {
    case .allowed: true
    case .forbidden: false
    case .ownAddress: relayed.isLive(peer.address, port: peer.port, transport) || !isClosed(peer.transportAddress)
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

  /// A listener is also reached by the advertised form of its address, and by `0.0.0.0`.
  private func isSame(_ listener: IPAddress, _ peer: IPAddress) -> Bool {
    listener == peer || listener == relayed.translated(peer) || (peer.isUnspecified && listener.family == peer.family)
  }
}

/// The current peer rules. Each edition has a number, so that a record's verdict by an older edition can be recognised.
struct CurrentRules {
  private(set) var gate: PeerGate
  private(set) var generation: UInt32 = 0

  init(_ gate: PeerGate) { self.gate = gate }

  mutating func replace(by gate: PeerGate) {
    self.gate = gate
    generation &+= 1
  }

  func verdict(_ address: IPAddress) -> AddressVerdict { gate.verdict(address) }

  @inline(__always)
  func permits(_ peer: PeerAddress, verdict: AddressVerdict, over transport: RelayTransport = .udp) -> Bool {
    gate.permits(peer, verdict: verdict, over: transport)
  }
}
