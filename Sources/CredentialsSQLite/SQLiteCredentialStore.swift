public import Credentials
public import Crypto

/// The embedded credential store: one SQLite file, which several processes may use at once.
///
/// Keys are kept, never passwords; shared secrets as they are, because they are needed. A change is on the disk when
/// a call returns (write-ahead log, `synchronous=FULL`).
public final class SQLiteCredentialStore: CredentialStore {
  private let connection: Connection
  private let statements: Statements

  /// Opens the store, and makes it (mode 0600) or brings it to this version's format if need be.
  ///
  /// - Parameter path: of the database file; its directory must exist and be writable.
  public init(path: String) throws(StoreError) {
    connection = try Connection(path: path)
    try Migrations.prepare(connection)
    statements = try Statements(connection)
  }

  /// A store that lives in memory and ends with this object.
  public static func inMemory() throws(StoreError) -> SQLiteCredentialStore {
    try SQLiteCredentialStore(path: ":memory:")
  }

  // MARK: - Look-ups

  public func keys(realm: String, username: [UInt8]) throws(StoreError) -> UserKeys? {
    guard let row = try statements.userByName.rows(.text(realm), .blob(username)).first else { return nil }
    return try Self.user(row).keys
  }

  public func user(realm: String, userHash: Digest) throws(StoreError) -> (name: [UInt8], keys: UserKeys)? {
    guard let row = try statements.userByHash.rows(.text(realm), .blob(userHash.array)).first else { return nil }
    return try Self.user(row)
  }

  public func secrets(realm: String) throws(StoreError) -> [[UInt8]] {
    try statements.secrets.rows(.text(realm)).map { $0[0].bytes }
  }

  public func changeToken() throws(StoreError) -> UInt64 {
    // data_version counts what other connections committed, total_changes what this one did.
    let others = try statements.dataVersion.rows().first?.first?.number ?? 0
    return UInt64(truncatingIfNeeded: others) << 32 | UInt64(truncatingIfNeeded: connection.totalChanges) & 0xFFFF_FFFF
  }

  public func isEmpty() throws(StoreError) -> Bool { try statements.anything.rows().isEmpty }

  private static func user(_ row: [Value]) throws(StoreError) -> (name: [UInt8], keys: UserKeys) {
    guard let md5 = Digest(row[1].bytes), md5.count == 16, let sha256 = Digest(row[3].bytes), sha256.count == 32,
      let userHash = Digest(row[4].bytes), userHash.count == 32
    else { throw .unavailable("a user's keys are damaged") }
    let opaque = row[2] == .null ? nil : Digest(row[2].bytes)
    return (row[0].bytes, UserKeys(md5: md5, md5OpaqueString: opaque, sha256: sha256, userHash: userHash))
  }

  // MARK: - Users

  public func addUser(_ user: LongTermCredential) throws(StoreError) {
    try connection.transaction { () throws(StoreError) in
      // Neither form of the new name may be either form of a known one.
      for form in [user.name.opaqueString, user.name.saslprep] {
        guard try statements.userByName.rows(.text(user.realm), .blob(form)).isEmpty else {
          throw StoreError.userExists
        }
      }
      try statements.addUser.run(
        .text(user.realm), .blob(user.name.opaqueString), .blob(user.name.saslprep), .blob(user.keys.userHash.array),
        .blob(user.keys.md5.array), Self.optional(user.keys.md5OpaqueString), .blob(user.keys.sha256.array))
    }
  }

  public func setPassword(of user: LongTermCredential) throws(StoreError) {
    let changed = try statements.setPassword.run(
      .text(user.realm), .blob(user.name.opaqueString), .blob(user.keys.md5.array),
      Self.optional(user.keys.md5OpaqueString), .blob(user.keys.sha256.array))
    guard changed > 0 else { throw .noSuchUser }
  }

  public func removeUser(realm: String, username: [UInt8]) throws(StoreError) {
    guard try statements.removeUser.run(.text(realm), .blob(username)) > 0 else { throw .noSuchUser }
  }

  public func users(realm: String?) throws(StoreError) -> [StoredUser] {
    try statements.users.rows(Self.optional(realm)).map { row in
      StoredUser(realm: Self.text(row[0]), name: Self.text(row[1]), created: UInt64(clamping: row[2].number))
    }
  }

  // MARK: - Secrets

  public func addSecret(_ secret: [UInt8], realm: String) throws(StoreError) -> StoredSecret {
    guard let row = try statements.addSecret.rows(.text(realm), .blob(secret)).first else { throw .secretExists }
    return StoredSecret(id: UInt64(clamping: row[0].number), realm: realm, created: UInt64(clamping: row[1].number))
  }

  public func removeSecret(realm: String, id: UInt64) throws(StoreError) {
    guard try statements.removeSecret.run(.text(realm), .integer(Int64(clamping: id))) > 0 else {
      throw .noSuchSecret
    }
  }

  public func listSecrets(realm: String?) throws(StoreError) -> [StoredSecret] {
    try statements.listSecrets.rows(Self.optional(realm)).map { row in
      StoredSecret(
        id: UInt64(clamping: row[0].number), realm: Self.text(row[1]), created: UInt64(clamping: row[2].number))
    }
  }

  private static func optional(_ digest: Digest?) -> Value { digest.map { .blob($0.array) } ?? .null }

  private static func optional(_ text: String?) -> Value { text.map { .text($0) } ?? .null }

  private static func text(_ value: Value) -> String { String(decoding: value.bytes, as: UTF8.self) }
}

/// Every statement of the store, prepared once.
private struct Statements {
  let userByName: Statement
  let userByHash: Statement
  let secrets: Statement
  let dataVersion: Statement
  let anything: Statement
  let addUser: Statement
  let setPassword: Statement
  let removeUser: Statement
  let users: Statement
  let addSecret: Statement
  let removeSecret: Statement
  let listSecrets: Statement

  init(_ connection: Connection) throws(StoreError) {
    let user = "SELECT name, key_md5, key_md5_opaque, key_sha256, user_hash FROM users WHERE realm = ?1"
    // The exact name wins over another user's other form, of which addUser allows none.
    userByName = try connection.prepare(
      "\(user) AND name = ?2 UNION ALL \(user) AND name_saslprep = ?2 AND name <> ?2 LIMIT 1")
    userByHash = try connection.prepare("\(user) AND user_hash = ?2")
    secrets = try connection.prepare("SELECT secret FROM secrets WHERE realm = ?1 ORDER BY id")
    dataVersion = try connection.prepare("PRAGMA data_version")
    anything = try connection.prepare(
      "SELECT 1 WHERE EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM secrets)")
    addUser = try connection.prepare(
      """
      INSERT INTO users (realm, name, name_saslprep, user_hash, key_md5, key_md5_opaque, key_sha256, created, changed)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, unixepoch(), unixepoch())
      """)
    setPassword = try connection.prepare(
      """
      UPDATE users SET key_md5 = ?3, key_md5_opaque = ?4, key_sha256 = ?5, changed = unixepoch()
      WHERE realm = ?1 AND name = ?2
      """)
    removeUser = try connection.prepare("DELETE FROM users WHERE realm = ?1 AND (name = ?2 OR name_saslprep = ?2)")
    users = try connection.prepare(
      "SELECT realm, name, created FROM users WHERE ?1 IS NULL OR realm = ?1 ORDER BY realm, name")
    addSecret = try connection.prepare(
      "INSERT INTO secrets (realm, secret, created) VALUES (?1, ?2, unixepoch()) ON CONFLICT DO NOTHING RETURNING id, created"
    )
    removeSecret = try connection.prepare("DELETE FROM secrets WHERE realm = ?1 AND id = ?2")
    listSecrets = try connection.prepare(
      "SELECT id, realm, created FROM secrets WHERE ?1 IS NULL OR realm = ?1 ORDER BY id")
  }
}
