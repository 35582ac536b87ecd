public import Crypto
public import NetworkTypes

/// A store of long-term credentials and shared secrets, with blocking calls from one thread at a time.
///
/// Realms and names are compared byte for byte. Names come from untrusted clients, and may contain any bytes, NUL
/// included.
public protocol CredentialStore: AnyObject {
  /// The keys of a user, by either form of the name; nil if there is no such user.
  func keys(realm: String, username: [UInt8]) throws(StoreError) -> UserKeys?

  /// The user whose USERHASH this is (RFC 8489 section 9.2.4); nil if there is none.
  func user(realm: String, userHash: Digest) throws(StoreError) -> (name: [UInt8], keys: UserKeys)?

  /// The shared secrets of time-limited credentials, oldest first.
  func secrets(realm: String) throws(StoreError) -> [[UInt8]]

  /// Whether a user of the realm has no SHA-256 key.
  func hasUsersWithoutSHA256(realm: String) throws(StoreError) -> Bool

  /// A number that changes when any process commits a change. It may be read several times a second.
  func changeToken() throws(StoreError) -> UInt64

  /// Removes the write-ahead log. Called when another file has replaced the store's file: otherwise the log would be
  /// applied to the new file.
  func abandon()

  /// Whether there is no user and no secret in any realm.
  func isEmpty() throws(StoreError) -> Bool

  /// Stores a new user. Throws `userExists` if the realm has a user with a confusable name.
  func addUser(_ user: UserRecord) throws(StoreError)

  /// Gives a user new keys. Throws `noSuchUser`.
  func setPassword(of user: UserRecord) throws(StoreError)

  /// Removes a user, by either form of the name. Throws `noSuchUser`.
  func removeUser(realm: String, username: [UInt8]) throws(StoreError)

  /// The users of a realm, or of all realms if `realm` is nil, by realm and name: at most `limit` users, of those after
  /// `after`.
  func users(
    realm: String?, after: (realm: String, name: String)?, limit: Int
  ) throws(StoreError) -> [StoredUser]

  /// Stores a shared secret and returns its number. Throws `secretExists`.
  func addSecret(_ secret: [UInt8], realm: String) throws(StoreError) -> StoredSecret

  /// Removes a shared secret. Throws `noSuchSecret`.
  func removeSecret(realm: String, id: UInt64) throws(StoreError)

  /// The shared secrets of a realm, or of all realms if `realm` is nil, oldest first, without their content.
  func listSecrets(realm: String?) throws(StoreError) -> [StoredSecret]
}

extension CredentialStore {
  public func abandon() {}

  /// All users of a realm, or of all realms if `realm` is nil, by realm and name.
  public func users(realm: String?) throws(StoreError) -> [StoredUser] {
    try users(realm: realm, after: nil, limit: .max)
  }
}

/// A user as a list shows it.
public struct StoredUser: Equatable, Sendable {
  public var realm: String
  public var name: String
  public var created: UnixTime

  public init(realm: String, name: String, created: UnixTime) {
    self.realm = realm
    self.name = name
    self.created = created
  }
}

/// A shared secret as a list shows it: its number, without its content.
public struct StoredSecret: Equatable, Sendable {
  public var id: UInt64
  public var realm: String
  public var created: UnixTime

  public init(id: UInt64, realm: String, created: UnixTime) {
    self.id = id
    self.realm = realm
    self.created = created
  }
}

/// The reason why a store operation failed.
public enum StoreError: Error, Equatable, Sendable {
  /// The store cannot be reached, read or written. The reason contains no credential.
  case unavailable(String)
  /// The store was written by a later version of this program.
  case newerFormat(found: Int, known: Int)
  /// The file belongs to another program.
  case foreign(path: String)
  case userExists
  case noSuchUser
  case secretExists
  case noSuchSecret
}

extension StoreError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unavailable(let reason): "the credential store is not available: \(reason)"
    case .newerFormat(let found, let known):
      "the credential store has format \(found), and this version of Turnpike knows formats up to \(known)"
    case .foreign(let path):
      "\(path) is a database of another program, and has not been changed: name another file for the store"
    case .userExists: "there is a user of this name already"
    case .noSuchUser: "there is no such user"
    case .secretExists: "this secret is stored already"
    case .noSuchSecret: "there is no such secret"
    }
  }
}
