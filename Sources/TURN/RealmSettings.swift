public import NetworkTypes

/// One realm: its name, its credentials, and the limits of its allocations.
public struct RealmSettings: Sendable {
  /// The prepared name as UTF-8. It is also the server name of access tokens (RFC 7635 section 6.1).
  public var name: [UInt8] = Array("turnpike".utf8)
  /// Users of the configuration, by name.
  public var users: [[UInt8]: CredentialKeys] = [:]
  /// The names of `users` by their USERHASH (RFC 8489 section 14.4).
  public var userNames: [[UInt8]: [UInt8]] = [:]
  /// Shared secrets of time-limited credentials, tried in order.
  public var secrets: [[UInt8]] = []
  /// Whether names that are not in `users` are looked up in a store or by a hook.
  public var hasStore = false
  /// Whether a hook looks up names that are not in `users`; a hook knows names, not their hashes.
  public var hasHook = false
  /// Whether a user of the store has no SHA-256 key. Then the realm offers MD5 only, if that is allowed: an offer that
  /// depended on the user would tell which users exist.
  public var hasUsersWithoutSHA256 = false

  public var limits = RealmLimits()

  public init() {}
}

/// The limits of a realm's allocations, as an operator decides.
public struct RealmLimits: Sendable, Equatable {
  /// Limits for each allocation; 0 is no limit.
  public var permissionsPerAllocation: UInt32 = 1024
  public var channelsPerAllocation: UInt32 = 1024
  /// Media in each direction.
  public var bandwidthPerAllocation = ByteRate.unlimited

  /// Limits of media in each direction, of one user and of the whole realm. The default realm's limit applies to the
  /// whole server.
  public var bandwidthPerUser = ByteRate.unlimited
  public var bandwidth = ByteRate.unlimited

  /// Limits for each user: new peer addresses in permissions a minute, and Connect requests (RFC 6062) a second. 0 is
  /// no limit.
  public var newPeersPerUser: UInt32 = 6000
  public var connectsPerUser: UInt32 = 50

  public init() {}
}
