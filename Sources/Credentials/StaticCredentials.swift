public import Crypto

/// The users and secrets of the configuration, looked up like a store.
public struct StaticCredentials: Equatable, Sendable {
  private var realms: [String: Realm] = [:]

  private struct Realm: Equatable, Sendable {
    /// The keys by both forms of each name.
    var keys: [[UInt8]: UserKeys] = [:]
    var names: [[UInt8]: [UInt8]] = [:]
    var secrets: [[UInt8]] = []
  }

  public init() {}

  /// Whether there is neither a user nor a secret.
  public var isEmpty: Bool { realms.isEmpty }

  /// Adds a user. Returns false, and keeps the earlier user, if the names are confusable.
  @discardableResult
  public mutating func add(_ user: UserRecord) -> Bool {
    var realm = realms[user.realm] ?? Realm()
    guard realm.keys[user.name.opaqueString] == nil, realm.keys[user.name.saslprep] == nil else { return false }
    realm.keys[user.name.opaqueString] = user.keys
    realm.keys[user.name.saslprep] = user.keys
    realm.names[user.keys.userHash.array] = user.name.opaqueString
    realms[user.realm] = realm
    return true
  }

  /// Adds a shared secret of time-limited credentials.
  public mutating func add(secret: [UInt8], realm: String) {
    realms[realm, default: Realm()].secrets.append(secret)
  }

  /// The keys of a user, by either form of the name.
  public func keys(realm: String, username: [UInt8]) -> UserKeys? { realms[realm]?.keys[username] }

  /// The user whose USERHASH this is (RFC 8489 section 9.2.4).
  public func user(realm: String, userHash: Digest) -> (name: [UInt8], keys: UserKeys)? {
    guard let realm = realms[realm], let name = realm.names[userHash.array], let keys = realm.keys[name] else {
      return nil
    }
    return (name, keys)
  }

  /// The shared secrets, in the order in which they were added.
  public func secrets(realm: String) -> [[UInt8]] { realms[realm]?.secrets ?? [] }
}
