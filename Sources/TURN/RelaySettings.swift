internal import NetworkTypes
public import STUN

/// How a `Relay` behaves: one immutable snapshot, replaced as a whole on reload.
public struct RelaySettings: Sendable {
  /// The default realm first, then the others in an order that stays the same: paths and allocations name them by
  /// number. Never empty.
  public var realms = [RealmSettings()]
  /// The SOFTWARE attribute; empty: not sent.
  public var software: [UInt8] = []
  /// No credentials are asked for.
  public var isAnonymous = false
  /// Offered with every challenge, most preferred first (RFC 8489 section 14.11). Without MD5 among them, clients
  /// that know only RFC 5389 have no key here.
  public var passwordAlgorithms: [PasswordAlgorithm] = [.md5, .sha256]
  /// Keys of authorization servers, for access tokens in every realm (RFC 7635).
  public var accessTokenKeys: [AccessTokenKey] = []
  /// Seconds that a nonce is good for.
  public var nonceLifetime: UInt32 = 600

  /// Seconds, RFC 8656 sections 7.2, 9 and 12.
  public var defaultLifetime: UInt32 = 600
  public var maximumLifetime: UInt32 = 3600
  public var permissionLifetime: UInt32 = 300
  public var channelLifetime: UInt32 = 600

  /// Where authenticated Allocates are sent on to; nil: nowhere.
  public var redirect: Redirect?
  /// Binding requests of RFC 3489 get MAPPED-ADDRESS.
  public var answersClassicSTUN = false

  /// The addresses of NAT behaviour discovery (RFC 5780); nil: it is not served.
  public var natDiscovery: NATDiscovery?

  /// TCP allocations can be had (RFC 6062).
  public var relaysTCP = true

  /// Clients may move to another five-tuple (RFC 8016).
  public var allowsMobility = false

  /// Requests that may wait for a store, the ledger or a socket at one time, in all and from one source address.
  public var waitingRequests = 4096
  public var waitingRequestsPerSource = 16

  /// No new allocations: the server is about to stop.
  public var isDraining = false

  public init() {}
}
