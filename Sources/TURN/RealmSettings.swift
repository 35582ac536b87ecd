/// One realm: its name, whom it knows, and what each allocation of its users may have.
public struct RealmSettings: Sendable {
  /// As bytes of its prepared UTF-8. Also the server name of access tokens (RFC 7635 section 6.1).
  public var name: [UInt8] = Array("turnpike".utf8)
  /// Users known without asking a store, by name.
  public var users: [[UInt8]: CredentialKeys] = [:]
  /// The names of those users by their USERHASH (RFC 8489 section 14.4).
  public var userNames: [[UInt8]: [UInt8]] = [:]
  /// Shared secrets of time-limited credentials, tried in order.
  public var secrets: [[UInt8]] = []
  /// Whether a store is to be asked for names that are neither.
  public var hasStore = false

  /// Limits for each allocation; 0 is no limit.
  public var permissionsPerAllocation: UInt32 = 1024
  public var channelsPerAllocation: UInt32 = 1024
  /// Bytes of media a second, in each direction.
  public var bandwidthPerAllocation: UInt64 = 0

  public init() {}
}

extension RelaySettings {
  /// The realm that a client's requests are of; the default one where there is none of that number.
  func realm(of client: ClientPath) -> RealmSettings {
    let index = Int(client.realm)
    return realms.indices.contains(index) ? realms[index] : realms[0]
  }

  // The default realm's, for whoever has no other.

  public var realm: [UInt8] {
    get { realms[0].name }
    set { realms[0].name = newValue }
  }
  public var users: [[UInt8]: CredentialKeys] {
    get { realms[0].users }
    set { realms[0].users = newValue }
  }
  public var userNames: [[UInt8]: [UInt8]] {
    get { realms[0].userNames }
    set { realms[0].userNames = newValue }
  }
  public var secrets: [[UInt8]] {
    get { realms[0].secrets }
    set { realms[0].secrets = newValue }
  }
  public var hasStore: Bool {
    get { realms[0].hasStore }
    set { realms[0].hasStore = newValue }
  }
  public var permissionsPerAllocation: UInt32 {
    get { realms[0].permissionsPerAllocation }
    set { realms[0].permissionsPerAllocation = newValue }
  }
  public var channelsPerAllocation: UInt32 {
    get { realms[0].channelsPerAllocation }
    set { realms[0].channelsPerAllocation = newValue }
  }
  public var bandwidthPerAllocation: UInt64 {
    get { realms[0].bandwidthPerAllocation }
    set { realms[0].bandwidthPerAllocation = newValue }
  }
}
