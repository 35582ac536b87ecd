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
}
