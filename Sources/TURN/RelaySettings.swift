internal import NetworkTypes
public import STUN

/// The policy for an allocation when its owner's time-limited name expires.
public enum CredentialExpiryPolicy: Sendable {
  /// It goes on as long as the client refreshes it.
  case keep
  /// Refresh gets 403, so the allocation ends with its present lifetime.
  case noRefresh
  /// No lifetime exceeds the name's, so the allocation ends when the name expires.
  case close
}

/// The settings of a `Relay`: one immutable snapshot, replaced as a whole on reload.
public struct RelaySettings: Sendable {
  /// The default realm first, then the others in a fixed order, because paths and allocations name them by number.
  /// Never empty.
  public var realms = [RealmSettings()]

  /// The realms, and the default one where none is configured.
  var allRealms: [RealmSettings] { realms.isEmpty ? [RealmSettings()] : realms }

  /// The SOFTWARE attribute; empty: not sent.
  public var software: [UInt8] = []
  /// Whether requests need no credentials.
  public var isAnonymous = false
  /// Offered in every challenge, most preferred first (RFC 8489 section 14.11). Without MD5, clients of RFC 5389 have
  /// no key.
  public var passwordAlgorithms: [PasswordAlgorithm] = [.md5, .sha256]
  /// Keys of authorization servers, for access tokens in every realm (RFC 7635).
  public var accessTokenKeys: [AccessTokenKey] = []
  /// The lifetime of a nonce.
  public var nonceLifetime = Duration.seconds(600)

  /// The policy for an allocation when its owner's time-limited name expires.
  public var onCredentialExpiry = CredentialExpiryPolicy.keep

  /// Lifetimes of RFC 8656 sections 7.2, 9 and 12.
  public var defaultLifetime = Duration.seconds(600)
  public var maximumLifetime = Duration.seconds(3600)
  public var permissionLifetime = Duration.seconds(300)
  public var channelLifetime = Duration.seconds(600)

  /// The server to which authenticated Allocates are redirected; nil: no redirection.
  public var redirect: Redirect?
  /// Whether Binding requests of RFC 3489 get MAPPED-ADDRESS.
  public var answersClassicSTUN = false
  /// Whether ChannelBind accepts the channels 0x5000 to 0x7FFF of RFC 5766; false: they get 400, as in RFC 8656 section
  /// 12.2.
  public var allowsOldChannels = true

  /// The addresses of NAT behaviour discovery (RFC 5780); nil: not supported.
  public var natDiscovery: DiscoveryAddresses?

  /// Whether TCP allocations are granted (RFC 6062).
  public var relaysTCP = true

  /// Whether clients may move to another five-tuple (RFC 8016).
  public var allowsMobility = false

  /// Limits of requests that wait for a store, the ledger or a socket: in all, and from one source address.
  public var waitingRequests = 4096
  public var waitingRequestsPerSource = 16

  /// Whether the server drains: it grants no new allocations.
  public var isDraining = false

  public init() {}
}
