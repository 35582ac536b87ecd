public import Credentials
public import Crypto
internal import NetworkTypes
internal import System

/// The embedded credential store: one SQLite file, which several processes may use at once.
///
/// It stores keys, never passwords; shared secrets are stored as plain bytes, because the server computes passwords
/// from them. A change is on disk when the call returns (write-ahead log, `synchronous=FULL`).
public final class SQLiteCredentialStore: CredentialStore {
  private let connection: SQLiteConnection
  private let statements: Statements
  private let path: String
  private var lastToken: UInt64?
  /// The write-ahead log and its index, with their identities at the last check.
  private var logFiles: [(path: String, identity: Files.Identity)] = []

  /// Opens the store, and converts it to this version's format if needed.
  ///
  /// A new file has mode 0600 and, if root creates it, the owner of its folder. A database of another program is
  /// refused and not changed.
  ///
  /// - Parameters:
  ///   - path: the database file; its directory must exist and be writable.
  ///   - creates: whether a missing file is created.
  public init(path: String, creates: Bool = true) throws(StoreError) {
    self.path = path
    connection = try SQLiteConnection(path: path, creates ? .creating : .existing)
    try Migrations.prepare(connection)
    statements = try Statements(connection)
  }

  /// A store in memory that ends with this object.
  public static func inMemory() throws(StoreError) -> SQLiteCredentialStore {
    try SQLiteCredentialStore(path: SQLiteConnection.inMemory)
  }

  /// Finds out whether `init` could open or create the store at a path, without any change.
  public static func examine(path: String) throws(StoreError) {
    guard Files.exists(path) else {
      if let error = Files.obstacle(toMaking: path) { throw .unavailable(Files.explain(error, of: path)) }
      return
    }
    guard Files.isWritable(path) else { throw .unavailable(Files.explain(.system(.permissionDenied), of: path)) }
    _ = try Migrations.currentFormat(of: SQLiteConnection(path: path, .reading))
  }

  /// The first damage that SQLite finds in the store at a path, without any change; nil if there is none.
  public static func damage(path: String) throws(StoreError) -> String? {
    let connection = try SQLiteConnection(path: path, .reading)
    let row = try connection.prepare("SELECT CAST(quick_check AS BLOB) FROM pragma_quick_check(1)").rows().first
    let text = String(decoding: row?.first?.bytes ?? [], as: UTF8.self)
    return text == "ok" ? nil : text
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

  public func hasUsersWithoutSHA256(realm: String) throws(StoreError) -> Bool {
    try !statements.userWithoutSHA256.rows(.text(realm)).isEmpty
  }

  public func changeToken() throws(StoreError) -> UInt64 {
    // data_version counts what other connections committed, total_changes what this one did.
    let others = try statements.dataVersion.rows().first?.first?.number ?? 0
    let token =
      UInt64(truncatingIfNeeded: others) << 32 | UInt64(truncatingIfNeeded: connection.totalChanges) & 0xFFFF_FFFF
    if token != lastToken {
      lastToken = token
      emptyLog()
    }
    return token
  }

  /// Writes the write-ahead log into the file. If the file is replaced later, SQLite would read a log beside it as the
  /// log of the new file. While other processes use the store, the log stays until the next call.
  private func emptyLog() {
    guard path != SQLiteConnection.inMemory else { return }
    try? connection.execute("PRAGMA busy_timeout = 0; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = 5000")
    logFiles = [path + "-wal", path + "-shm"].compactMap { path in Files.identity(path).map { (path, $0) } }
  }

  public func abandon() {
    // SQLite does not remove these files if its database was moved away, and would use them for the next database.
    for file in logFiles where Files.identity(file.path) == file.identity { Files.remove(file.path) }
  }

  public func isEmpty() throws(StoreError) -> Bool { try statements.anything.rows().isEmpty }

  private static func user(_ row: [Value]) throws(StoreError) -> (name: [UInt8], keys: UserKeys) {
    let sha256 = row[3] == .null ? nil : Digest(row[3].bytes)
    guard let md5 = Digest(row[1].bytes), md5.count == 16, row[3] == .null || sha256?.count == 32,
      let userHash = Digest(row[4].bytes), userHash.count == 32
    else { throw .unavailable("a user's keys are damaged") }
    let opaque = row[2] == .null ? nil : Digest(row[2].bytes)
    return (row[0].bytes, UserKeys(md5: md5, md5OpaqueString: opaque, sha256: sha256, userHash: userHash))
  }

  // MARK: - Users

  public func addUser(_ user: UserRecord) throws(StoreError) {
    try connection.transaction { () throws(StoreError) in
      // No form of the new name may equal a form of an existing name.
      for form in [user.name.opaqueString, user.name.saslprep] {
        guard try statements.userByName.rows(.text(user.realm), .blob(form)).isEmpty else {
          throw StoreError.userExists
        }
      }
      try statements.addUser.run(
        .text(user.realm), .blob(user.name.opaqueString), .blob(user.name.saslprep), .blob(user.keys.userHash.array),
        .blob(user.keys.md5.array), Self.optional(user.keys.md5OpaqueString), Self.optional(user.keys.sha256))
    }
  }

  public func setPassword(of user: UserRecord) throws(StoreError) {
    let changed = try statements.setPassword.run(
      .text(user.realm), .blob(user.name.opaqueString), .blob(user.keys.md5.array),
      Self.optional(user.keys.md5OpaqueString), Self.optional(user.keys.sha256))
    guard changed > 0 else { throw .noSuchUser }
  }

  public func removeUser(realm: String, username: [UInt8]) throws(StoreError) {
    guard try statements.removeUser.run(.text(realm), .blob(username)) > 0 else { throw .noSuchUser }
  }

  public func users(
    realm: String?, after: (realm: String, name: String)?, limit: Int
  ) throws(StoreError) -> [StoredUser] {
    // The empty realm with the empty name comes before all users.
    try statements.users.rows(
      Self.optional(realm), .text(after?.realm ?? ""), .blob(Array((after?.name ?? "").utf8)),
      .integer(Int64(limit))
    ).map { row in
      StoredUser(realm: row[0].string, name: row[1].string, created: UnixTime(seconds: row[2].number))
    }
  }

  // MARK: - Secrets

  public func addSecret(_ secret: [UInt8], realm: String) throws(StoreError) -> StoredSecret {
    guard let row = try statements.addSecret.rows(.text(realm), .blob(secret)).first else { throw .secretExists }
    return StoredSecret(id: UInt64(clamping: row[0].number), realm: realm, created: UnixTime(seconds: row[1].number))
  }

  public func removeSecret(realm: String, id: UInt64) throws(StoreError) {
    guard try statements.removeSecret.run(.text(realm), .integer(Int64(clamping: id))) > 0 else {
      throw .noSuchSecret
    }
  }

  public func listSecrets(realm: String?) throws(StoreError) -> [StoredSecret] {
    try statements.listSecrets.rows(Self.optional(realm)).map { row in
      StoredSecret(
        id: UInt64(clamping: row[0].number), realm: row[1].string, created: UnixTime(seconds: row[2].number))
    }
  }

  private static func optional(_ digest: Digest?) -> Value { digest.map { .blob($0.array) } ?? .null }

  private static func optional(_ text: String?) -> Value { text.map { .text($0) } ?? .null }
}

/// Every statement of the store, prepared once.
private struct Statements {
  let userByName: Statement
  let userByHash: Statement
  let secrets: Statement
  let userWithoutSHA256: Statement
  let dataVersion: Statement
  let anything: Statement
  let addUser: Statement
  let setPassword: Statement
  let removeUser: Statement
  let users: Statement
  let addSecret: Statement
  let removeSecret: Statement
  let listSecrets: Statement

  init(_ connection: SQLiteConnection) throws(StoreError) {
    let user = "SELECT name, key_md5, key_md5_opaque, key_sha256, user_hash FROM users WHERE realm = ?1"
    // The exact name is preferred; addUser prevents that it equals another user's SASLprep form.
    userByName = try connection.prepare(
      "\(user) AND name = ?2 UNION ALL \(user) AND name_saslprep = ?2 AND name <> ?2 LIMIT 1")
    userByHash = try connection.prepare("\(user) AND user_hash = ?2")
    secrets = try connection.prepare("SELECT secret FROM secrets WHERE realm = ?1 ORDER BY id")
    userWithoutSHA256 = try connection.prepare(
      "SELECT 1 FROM users WHERE realm = ?1 AND key_sha256 IS NULL LIMIT 1")
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
      """
      SELECT realm, name, created FROM users WHERE (?1 IS NULL OR realm = ?1) AND (realm, name) > (?2, ?3)
      ORDER BY realm, name LIMIT ?4
      """)
    addSecret = try connection.prepare(
      "INSERT INTO secrets (realm, secret, created) VALUES (?1, ?2, unixepoch()) ON CONFLICT DO NOTHING RETURNING id, created"
    )
    removeSecret = try connection.prepare("DELETE FROM secrets WHERE realm = ?1 AND id = ?2")
    listSecrets = try connection.prepare(
      "SELECT id, realm, created FROM secrets WHERE ?1 IS NULL OR realm = ?1 ORDER BY id")
  }
}
