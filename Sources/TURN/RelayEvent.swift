public import NetworkTypes
public import STUN
public import Tables

/// An event for logs, by value. Names are unchanged bytes from requests.
///
/// The number of events is bounded: two for each allocation, one for each failed login and refused peer within a
/// budget, and one in ten seconds for each limit that is reached.
public enum RelayEvent: Sendable, Equatable {
  case allocationOpened(AllocationSummary)
  case allocationClosed(AllocationSummary, EndReason)
  /// A request with valid integrity was refused.
  case requestRefused(code: UInt16, user: [UInt8])
  case authenticationFailed(AuthenticationFailure)
  case peerRefused(PeerRefusal)
  /// Every relay port of the family is taken.
  case relayPortsExhausted(IPAddress.Family)
  case limitReached(RelayLimit, LimitNotice)
}

/// The reason why an allocation ended.
public enum EndReason: String, Sendable, CaseIterable {
  /// Refresh with a lifetime of zero.
  case deleted
  case expired
  /// The client's connection closed.
  case disconnected
  /// The operator closed it, or the drain ended.
  case closed
}

/// The transports and families of an allocation when it was made; it may move to another transport (RFC 8016) and lose
/// a family later.
public struct AllocationKind: Hashable, Sendable {
  /// The families of the relayed addresses.
  public enum Families: String, Sendable, CaseIterable {
    case ipv4
    case ipv6
    case dual
  }

  /// The transport between client and server.
  public var transport: TransportProtocol
  /// The families of its relayed addresses.
  public var families: Families
  /// The transport between relay and peers.
  public var relayTransport: RelayTransport

  public init(transport: TransportProtocol, families: Families, relayTransport: RelayTransport) {
    self.transport = transport
    self.families = families
    self.relayTransport = relayTransport
  }
}

/// An allocation as a log or a list shows it.
public struct AllocationSummary: Sendable, Equatable {
  public var id: Handle<Allocation>
  public var kind: AllocationKind
  public var realm: RealmID
  public var username: [UInt8]
  public var client: SocketAddress
  /// The transport between client and server.
  public var transport: TransportProtocol
  /// The transport between relay and peers.
  public var relayTransport: RelayTransport
  /// The advertised relayed address; for a dual allocation the IPv4 one.
  public var relayed: SocketAddress
  /// The IPv6 relayed address of a dual allocation.
  public var secondRelayed: SocketAddress?
  /// The time since its creation.
  public var age: Duration
  /// Data from the client to its peers.
  public var toPeers: TrafficCount
  /// Data from peers to the client.
  public var toClient: TrafficCount
  public var drops: AllocationDrops
  public var quality: AllocationQuality
}

/// How well an allocation's media and requests reach the relay.
public struct AllocationQuality: Sendable, Equatable {
  /// Nil while nothing has been measured.
  public var fromClient: MediaQuality?
  public var fromPeers: MediaQuality?
  /// The shortest time from a challenge to the request that answers it: at least the client's round trip, and also the
  /// client's own delay and lost datagrams. Nil if unknown.
  public var roundTrip: Duration?

  public init() {}
}

/// A failed login from a proven address: the client has returned a nonce from it, or has a connection.
public struct AuthenticationFailure: Sendable, Equatable {
  /// The reason why a login failed.
  public enum Reason: String, Sendable, CaseIterable {
    /// The realm has no such user, or REALM differs.
    case unknownUser = "unknown-user"
    case wrongPassword = "wrong-password"
    /// The time-limited name or the access token has expired.
    case expired

    var index: Int {
      switch self {
      case .unknownUser: 0
      case .wrongPassword: 1
      case .expired: 2
      }
    }
  }

  public var user: UserReference
  public var client: SocketAddress
  public var reason: Reason
}

/// A user's request for a peer that the rules deny.
public struct PeerRefusal: Sendable, Equatable {
  /// The rule that denies a peer.
  public enum Rule: Sendable, Equatable, CustomStringConvertible {
    /// A block of the built-in or configured rules.
    case block(CIDRBlock)
    /// An IPv6 address with an embedded IPv4 address.
    case embeddedIPv4
    /// An address of this host that no rule allows.
    case ownAddress
    /// A listener or store of this server.
    case ownListener
    /// A relay address of this server, on a port without an allocation.
    case noLiveRelay

    public var description: String {
      switch self {
      case .block(let block): block.description
      case .embeddedIPv4: "ipv4-in-ipv6"
      case .ownAddress: "own-address"
      case .ownListener: "own-listener"
      case .noLiveRelay: "no-live-relay"
      }
    }
  }

  public var user: [UInt8]
  public var client: SocketAddress
  /// The peer; port 0 for a permission, which is for an address only.
  public var peer: SocketAddress
  public var rule: Rule
}

/// Relayed datagrams, or reads of a TCP connection, and the bytes of their data.
public struct TrafficCount: Sendable, Equatable, BitwiseCopyable {
  public var packets: UInt64 = 0
  public var bytes: UInt64 = 0

  public init() {}

  public mutating func add(_ other: TrafficCount) {
    packets &+= other.packets
    bytes &+= other.bytes
  }

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&packets)
    try coder.code(&bytes)
  }

  @inline(__always)
  mutating func add(_ count: Int) {
    packets &+= 1
    bytes &+= UInt64(truncatingIfNeeded: count)
  }
}

/// Limits the events that clients can cause: `perSecond` for each shard; further events are not logged.
struct EventBudget {
  static let perSecond = 256
  private var second: UInt64 = 0
  private var taken = 0

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    var count = UInt32(truncatingIfNeeded: taken)
    try coder.code(&second)
    try coder.code(&count)
    taken = Int(count)
  }

  mutating func take(now: Instant) -> Bool {
    let second = now.nanoseconds / 1_000_000_000
    if second != self.second { (self.second, taken) = (second, 0) }
    taken += 1
    return taken <= Self.perSecond
  }
}

extension UserReference {
  /// The name, cut to the longest valid length (RFC 8489 section 14.3).
  fileprivate var shortened: UserReference {
    if case .name(let name) = self { .name(Array(name.prefix(763))) } else { self }
  }
}

extension Relay {
  /// Makes an event for a user's request for a denied peer.
  mutating func reportRefusedPeer(_ peer: PeerAddress, to request: borrowing Request) {
    guard eventBudget.take(now: request.now.instant) else { return }
    let address = peer.transportAddress
    let refusal = PeerRefusal(
      user: request.principal.username, client: request.client.address, peer: address,
      rule: rules.gate.rule(against: address))
    commands.append(.event(.peerRefused(refusal)))
  }

  /// Answers a failed login with 401, and makes an event with the reason. The answer is the same for every reason.
  /// Without budget for an unauthenticated answer the request is dropped without an event. A failure from an address
  /// that may be forged makes no event: otherwise an attacker could make a program that reads the log ban other
  /// addresses.
  mutating func refuseLogin(
    _ reason: AuthenticationFailure.Reason, _ user: UserReference, _ received: borrowing ReceivedMessage,
    _ nonce: NonceAuthority.State
  ) -> Disposition {
    counters.failedLogins[reason.index] &+= 1
    var isKnownAddress = received.client.transport != .udp
    switch nonce {
    case .fresh, .stale:
      isKnownAddress = true
      limiter.countFailure(received.client.address, now: received.now.instant)
    case .foreign: break
    }
    let disposition = challenge(.unauthenticated, received)
    if case .reply = disposition, isKnownAddress, eventBudget.take(now: received.now.instant) {
      let failure = AuthenticationFailure(user: user.shortened, client: received.client.address, reason: reason)
      commands.append(.event(.authenticationFailed(failure)))
    }
    return disposition
  }
}
