internal import Admin
internal import Configuration
internal import Credentials
internal import CredentialsSQLite
internal import JSON
internal import Log
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURN

/// Users and secrets. Each operation opens the store for itself, as the commands do, on the worker's thread: no shard
/// and no look-up of a shard waits for it.
extension AdminView {
  // MARK: - Users

  func users(_ query: UserQuery) throws(AdminFailure) -> JSONValue {
    if let realm = query.realm { _ = try number(ofRealm: realm) }
    var cursor = try UserCursor(query.after)
    let sources = userSources
    var rows: [JSONValue] = []
    while cursor.source < sources.count {
      let source = sources[cursor.source]
      let found = try source.users(realm: query.realm, after: cursor.last, limit: query.limit - rows.count + 1)
      for user in found {
        if rows.count == query.limit {
          return .object([.init("users", .array(rows)), .init("next", .string(cursor.text))])
        }
        rows.append(Self.row(user, isOfStore: source.path != nil))
        cursor.last = (user.realm, user.name)
      }
      cursor = UserCursor(source: cursor.source + 1)
    }
    return .object([.init("users", .array(rows))])
  }

  private static func row(_ user: StoredUser, isOfStore: Bool) -> JSONValue {
    var members: [JSONValue.Member] = [
      .init("name", .string(user.name)), .init("realm", .string(user.realm)),
      .init("source", isOfStore ? "store" : "configuration"),
    ]
    if isOfStore { members.append(.init("added", .string(CivilTime.text(user.created)))) }
    return .object(members)
  }

  /// The users of the configuration, then those of each store.
  private var userSources: [UserSource] {
    let settings = facts.withLock { $0.settings }
    let configured = realmNames.flatMap { realm in
      Self.configuredUsers(settings, realm: realm).map { StoredUser(realm: realm, name: $0, created: .epoch) }
    }
    return [UserSource(path: nil, configured: configured.sorted { ($0.realm, $0.name) < ($1.realm, $1.name) })]
      + Set(storePaths.values).sorted().map { UserSource(path: $0, configured: []) }
  }

  private static func configuredUsers(_ settings: Settings, realm: String) -> [String] {
    Array((realm == settings.realm ? settings.auth.users : settings.realms[realm]?.users ?? [:]).keys)
  }

  func addUser(_ user: UserToAdd) throws(AdminFailure) -> JSONValue {
    try store(user, "user-added") { store, record throws(StoreError) in try store.addUser(record) }
  }

  /// Changes a user's password. Live allocations keep their keys. The change of the store empties the shards' caches.
  func changePassword(_ user: UserToAdd) throws(AdminFailure) -> JSONValue {
    do throws(AdminFailure) {
      return try store(user, "password-changed") { store, record throws(StoreError) in
        try store.setPassword(of: record)
      }
    } catch {
      throw explain(error, user.name, user.realm ?? realmNames[0], remedy: "write its new password there")
    }
  }

  /// Replaces an error about a user who is in the configuration and not in the store: the remedy is another.
  private func explain(_ error: AdminFailure, _ name: String, _ realm: String, remedy: String) -> AdminFailure {
    let settings = facts.withLock { $0.settings }
    guard Self.configuredUsers(settings, realm: realm).contains(name) else { return error }
    let key = realm == settings.realm ? "auth.users" : "realms.\(realm).users"
    let variable = realm == settings.realm ? ", TURNPIKE_AUTH_USERS" : ""
    return .conflict(
      "\(name.debugDescription) is in \(key) (the configuration file\(variable) or --set), not in the store: "
        + "\(remedy), then reload the server (turnpike reload, or SIGHUP); restart it if the user is not in the file")
  }

  private func store(
    _ user: UserToAdd, _ change: String,
    _ body: (any CredentialStore, UserRecord) throws(StoreError) -> Void
  ) throws(AdminFailure) -> JSONValue {
    let realm = user.realm ?? realmNames[0]
    let new: NewUser
    do throws(UserRecord.Invalid) {
      new = try NewUser(name: user.name, realm: realm, password: user.password.map { Array($0.utf8) })
    } catch {
      throw .invalid("\(error)")
    }
    try self.change(realm, explained: { $0.explained(user: user.name, realm: realm) }) { store throws(StoreError) in
      try body(store, new.record)
    }
    record(change, ("realm", .text(realm)), ("user", words.user(Array(user.name.utf8))))
    var members: [JSONValue.Member] = [.init("name", .string(user.name)), .init("realm", .string(realm))]
    if let made = new.madePassword { members.append(.init("password", .string(made))) }
    return .object(members)
  }

  func removeUser(_ user: UserToRemove) throws(AdminFailure) -> JSONValue {
    let realm = user.realm ?? realmNames[0]
    do throws(AdminFailure) {
      try change(realm, explained: { $0.explained(user: user.name, realm: realm) }) { store throws(StoreError) in
        try store.removeUser(realm: realm, username: Array(user.name.utf8))
      }
    } catch {
      throw explain(error, user.name, realm, remedy: "remove it there")
    }
    record("user-removed", ("realm", .text(realm)), ("user", words.user(Array(user.name.utf8))))
    return try closed(user.closes ? SessionsToEnd(kind: .user(user.name), realm: realm) : nil)
  }

  // MARK: - Secrets

  /// Limit of secrets in a list; further ones are left out.
  private static let longestSecretList = 10_000

  func secrets(realm: String?) throws(AdminFailure) -> JSONValue {
    if let realm { _ = try number(ofRealm: realm) }
    let settings = facts.withLock { $0.settings }
    var rows: [JSONValue] = []
    for name in realmNames where realm == nil || realm == name {
      let configured = name == settings.realm ? settings.auth.secrets : settings.realms[name]?.secrets ?? []
      rows += configured.map { _ in ["realm": .string(name), "source": "configuration"] }
    }
    for path in Set(storePaths.values).sorted() {
      let stored = try Self.open(path) { store throws(StoreError) in try store.listSecrets(realm: realm) }
      rows += stored.map { secret in
        [
          "id": Self.number(secret.id), "realm": .string(secret.realm), "source": "store",
          "added": .string(CivilTime.text(secret.created)),
        ]
      }
    }
    return .object([.init("secrets", .array(Array(rows.prefix(Self.longestSecretList))))])
  }

  func addSecret(_ secret: SecretToAdd) throws(AdminFailure) -> JSONValue {
    let realm = secret.realm ?? realmNames[0]
    let new: NewSecret
    do throws(NewSecret.Invalid) { new = try NewSecret(secret.secret.map { Array($0.utf8) }) } catch {
      throw .invalid("\(error)")
    }
    let stored = try change(realm, explained: { $0.explained(secret: nil, realm: realm) }) {
      store throws(StoreError) in
      try store.addSecret(new.bytes, realm: realm)
    }
    record("secret-added", ("realm", .text(realm)), ("id", .number(stored.id)))
    var members: [JSONValue.Member] = [.init("id", Self.number(stored.id)), .init("realm", .string(realm))]
    if let made = new.made { members.append(.init("secret", .string(made))) }
    return .object(members)
  }

  func removeSecret(_ secret: SecretToRemove) throws(AdminFailure) -> JSONValue {
    let realm = secret.realm ?? realmNames[0]
    try change(realm, explained: { $0.explained(secret: secret.id, realm: realm) }) { store throws(StoreError) in
      try store.removeSecret(realm: realm, id: secret.id)
    }
    record("secret-removed", ("realm", .text(realm)), ("id", .number(secret.id)))
    return try closed(secret.closes ? SessionsToEnd(kind: .revoked, realm: realm) : nil)
  }

  /// Ends the sessions of a removed credential.
  private func closed(_ selection: SessionsToEnd?) throws(AdminFailure) -> JSONValue {
    guard let selection else { return ["closed": 0] }
    do throws(AdminFailure) { return try endSessions(selection) } catch {
      throw .unavailable("removed, but not every session is closed: \(error.reason)")
    }
  }

  // MARK: - Stores

  /// Changes the store of a realm.
  private func change<Result>(
    _ realm: String, explained: (StoreError) -> String?, _ body: (any CredentialStore) throws(StoreError) -> Result
  ) throws(AdminFailure) -> Result {
    guard let path = storePaths[try number(ofRealm: realm)] else {
      throw .conflict("the realm \(realm.debugDescription) has no credential store in a file: set auth.store")
    }
    return try Self.open(path, explained: explained, body)
  }

  /// Opens a store. A deleted store is not created again: the operator may have deleted it on purpose.
  private static func open<Result>(
    _ path: String, explained: (StoreError) -> String? = { _ in nil },
    _ body: (any CredentialStore) throws(StoreError) -> Result
  ) throws(AdminFailure) -> Result {
    do throws(StoreError) {
      return try body(try SQLiteCredentialStore(path: path, creates: false))
    } catch {
      let reason = explained(error) ?? "\(error)"
      switch error {
      case .userExists, .secretExists: throw .conflict(reason)
      case .noSuchUser, .noSuchSecret: throw .notFound(reason)
      case .unavailable, .newerFormat, .foreign: throw .unavailable(reason)
      }
    }
  }

  /// The users of the configuration, or of one store.
  private struct UserSource {
    /// The store's path; nil: the configuration.
    var path: String?
    /// The users of the configuration, by realm and name.
    var configured: [StoredUser]

    func users(
      realm: String?, after: (realm: String, name: String)?, limit: Int
    ) throws(AdminFailure) -> [StoredUser] {
      if let path {
        return try AdminView.open(path) { store throws(StoreError) in
          try store.users(realm: realm, after: after, limit: limit)
        }
      }
      let matching = configured.filter { user in
        (realm == nil || user.realm == realm) && (after.map { (user.realm, user.name) > $0 } ?? true)
      }
      return Array(matching.prefix(limit))
    }
  }
}

/// The position at which a list of users continues: the source, and the last user of the page before.
private struct UserCursor {
  var source = 0
  var last: (realm: String, name: String)?

  init(source: Int) { self.source = source }

  /// Nil: the beginning.
  init(_ text: String?) throws(AdminFailure) {
    guard let text else { return }
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 3, let source = UInt16(decimalDigits: parts[0]), let realm = Self.decode(parts[1]),
      let name = Self.decode(parts[2])
    else { throw .invalid("after must be the value of next from the page before") }
    self.source = Int(source)
    last = (realm, name)
  }

  /// Hexadecimal, because names may have any character.
  var text: String { "\(source)-\(Self.encode(last?.realm ?? ""))-\(Self.encode(last?.name ?? ""))" }

  private static func encode(_ text: String) -> String { Hexadecimal.text(text.utf8) }

  private static func decode(_ text: Substring) -> String? {
    Hexadecimal.bytes(text.utf8).flatMap { String(validating: $0, as: UTF8.self) }
  }
}
