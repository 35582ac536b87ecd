internal import NetworkTypes

/// The settings of a `Relay`: one immutable snapshot, replaced as a whole on reload.
public struct RelaySettings: Sendable {
  /// What an operator decides.
  public var policy = RelayPolicy()

  /// The default realm first, then the others in a fixed order, because paths and allocations name them by number.
  public var realms = [RealmSettings()]

  /// `realms`, or only the default realm if none is configured.
  var allRealms: [RealmSettings] { realms.isEmpty ? [RealmSettings()] : realms }

  /// Keys of authorization servers, for access tokens in every realm (RFC 7635).
  public var accessTokenKeys: [AccessTokenKey] = []

  /// The addresses of NAT behaviour discovery (RFC 5780); nil: not supported.
  var natDiscovery: DiscoveryAddresses? { policy.natDiscovery.addresses }

  /// Limits of requests that wait for a store, the ledger or a socket: in all, and from one source address.
  public var waitingRequests = 4096
  public var waitingRequestsPerSource = 16

  /// Whether the server drains: it grants no new allocations.
  public var isDraining = false

  public init() {}
}
