public import NetworkTypes
public import STUN

/// The policy for an allocation when its owner's time-limited name expires. The raw values are the words in
/// configurations.
public enum CredentialExpiryPolicy: String, Sendable, CaseIterable {
  /// The allocation lives as long as the client refreshes it.
  case keep
  /// Refresh gets 403, so the allocation ends with its present lifetime.
  case noRefresh = "no-refresh"
  /// No lifetime exceeds the name's, so the allocation ends when the name expires.
  case close
}

/// What an operator decides about a relay: a configuration fills it, and `Relay` reads it in place.
public struct RelayPolicy: Equatable, Sendable {
  /// The SOFTWARE attribute; empty: not sent.
  public var software = ""
  /// Whether requests need no credentials.
  public var isAnonymous = false
  /// The algorithms in every challenge, most preferred first (RFC 8489 section 14.11). Without MD5, clients of RFC 5389
  /// cannot log in.
  public var passwordAlgorithms: [PasswordAlgorithm] = [.md5, .sha256]
  /// The lifetime of a nonce.
  public var nonceLifetime = Duration.seconds(600)

  /// The policy for an allocation when its owner's time-limited name expires.
  public var onCredentialExpiry = CredentialExpiryPolicy.keep

  /// Lifetimes of RFC 8656 sections 7.2, 9 and 12.
  public var defaultLifetime = Duration.seconds(600)
  public var maximumLifetime = Duration.seconds(3600)
  public var permissionLifetime = Duration.seconds(300)
  public var channelLifetime = Duration.seconds(600)

  /// The server to which authenticated Allocates are redirected.
  public var redirect = Redirect()
  /// Whether Binding requests of RFC 3489 get MAPPED-ADDRESS.
  public var answersClassicSTUN = false
  /// Whether ChannelBind accepts the channels 0x5000 to 0x7FFF of RFC 5766; false: they get 400, as in RFC 8656 section
  /// 12.2.
  public var allowsOldChannels = true

  /// NAT behaviour discovery (RFC 5780).
  public var natDiscovery = ConfiguredDiscovery()

  /// Whether TCP allocations are granted (RFC 6062).
  public var relaysTCP = true

  /// Whether clients may move to another five-tuple (RFC 8016).
  public var allowsMobility = false

  public init() {}
}

/// The server to which authenticated Allocates are redirected (RFC 8489 section 10, RFC 8656 section 7.2, step 11).
public struct Redirect: Sendable, Equatable {
  /// Nil: no client is redirected.
  public var server: AlternateServer?
  /// ALTERNATE-DOMAIN: the name in the other server's certificate; empty: the same name.
  public var domain = ""

  public init(_ server: AlternateServer? = nil, domain: String = "") {
    self.server = server
    self.domain = domain
  }
}

/// The address of another server.
public struct AlternateServer: Sendable, Equatable {
  public var address: IPAddress
  /// Nil: the default port of the client's transport, 3478 or 5349.
  public var port: UInt16?

  public init(_ address: IPAddress, port: UInt16?) {
    self.address = address
    self.port = port
  }
}

/// The two addresses of NAT behaviour discovery as they are configured: both, or none.
public struct ConfiguredDiscovery: Sendable, Equatable {
  public var primary: SocketAddress?
  public var alternate: SocketAddress?

  public init(primary: SocketAddress? = nil, alternate: SocketAddress? = nil) {
    self.primary = primary
    self.alternate = alternate
  }

  /// Nil without discovery.
  public var addresses: DiscoveryAddresses? {
    guard let primary, let alternate else { return nil }
    return DiscoveryAddresses(primary: primary, alternate: alternate)
  }
}
