internal import Credentials

/// Converts a database file to the format of this version.
enum Migrations {
  /// One script for each step; `user_version` counts the scripts that have run.
  static let scripts = [
    """
    CREATE TABLE users (
      realm BLOB NOT NULL,
      name BLOB NOT NULL,             -- OpaqueString form
      name_saslprep BLOB NOT NULL,
      user_hash BLOB NOT NULL,        -- USERHASH, RFC 8489 section 14.4
      key_md5 BLOB NOT NULL,          -- over the SASLprep forms
      key_md5_opaque BLOB,            -- over the OpaqueString forms, where it differs
      key_sha256 BLOB NOT NULL,
      created INTEGER NOT NULL,       -- seconds since 1970
      changed INTEGER NOT NULL,
      PRIMARY KEY (realm, name)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX users_by_saslprep ON users (realm, name_saslprep);
    CREATE UNIQUE INDEX users_by_hash ON users (realm, user_hash);
    CREATE TABLE secrets (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      realm BLOB NOT NULL,
      secret BLOB NOT NULL,
      created INTEGER NOT NULL,
      UNIQUE (realm, secret)
    ) STRICT;
    """,
    // Users of other programs have no SHA-256 key. SQLite cannot remove NOT NULL from a column.
    """
    CREATE TABLE new_users (
      realm BLOB NOT NULL,
      name BLOB NOT NULL,
      name_saslprep BLOB NOT NULL,
      user_hash BLOB NOT NULL,
      key_md5 BLOB NOT NULL,
      key_md5_opaque BLOB,
      key_sha256 BLOB,                -- absent for users of other programs
      created INTEGER NOT NULL,
      changed INTEGER NOT NULL,
      PRIMARY KEY (realm, name)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO new_users SELECT realm, name, name_saslprep, user_hash, key_md5, key_md5_opaque, key_sha256, created,
      changed FROM users;
    DROP TABLE users;
    ALTER TABLE new_users RENAME TO users;
    CREATE UNIQUE INDEX users_by_saslprep ON users (realm, name_saslprep);
    CREATE UNIQUE INDEX users_by_hash ON users (realm, user_hash);
    CREATE INDEX users_without_sha256 ON users (realm) WHERE key_sha256 IS NULL;
    """,
  ]

  /// The application_id in SQLite's header: "Turn". Stores of earlier versions have 0.
  private static let applicationID = 0x5475_726E

  static func prepare(_ connection: SQLiteConnection) throws(StoreError) {
    // The format is checked first, because the switch of the journal mode changes the file.
    _ = try currentFormat(of: connection)
    try switchToWriteAheadLog(connection)
    // secure_delete overwrites deleted rows, so that a removed secret does not stay in the file.
    try connection.execute("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF")
    if try currentFormat(of: connection) == scripts.count { return }
    try connection.transaction { () throws(StoreError) in
      // The format is read again: another process may have migrated the file meanwhile.
      let found = try format(of: connection)
      for script in scripts[found...] { try connection.execute(script) }
      if found == 0 { try connection.execute("PRAGMA application_id = \(applicationID)") }
      try connection.execute("PRAGMA user_version = \(scripts.count)")
    }
  }

  /// Runs `format` in one read transaction: another process may create the tables between two of its queries, and the
  /// new store would look like a database of another program.
  static func currentFormat(of connection: SQLiteConnection) throws(StoreError) -> Int {
    try connection.execute("BEGIN")
    do throws(StoreError) {
      let result = try format(of: connection)
      try connection.execute("COMMIT")
      return result
    } catch {
      try? connection.execute("ROLLBACK")
      throw error
    }
  }

  /// The format of a store, from 0 for a new file to the format that this version writes. It runs within a transaction.
  /// Throws `foreign` for a database of another program and `newerFormat` for a store of a later version.
  private static func format(of connection: SQLiteConnection) throws(StoreError) -> Int {
    let version = try number(connection, "PRAGMA user_version")
    let identifier = try number(connection, "PRAGMA application_id")
    let isOurs =
      if identifier == applicationID {
        true
      } else if identifier == 0, version == 0 {
        try number(connection, "SELECT count(*) FROM sqlite_schema") == 0
      } else if identifier == 0 {
        // Other programs use user_version too, so our tables must also be there.
        try number(
          connection,
          """
          SELECT (SELECT count(*) FROM pragma_table_info('users')
            WHERE name IN ('realm', 'name', 'name_saslprep', 'user_hash', 'key_md5', 'key_sha256'))
            + (SELECT count(*) FROM pragma_table_info('secrets') WHERE name IN ('realm', 'secret'))
          """) == 8
      } else {
        false
      }
    guard isOurs else { throw .foreign(path: connection.path) }
    guard version <= scripts.count else { throw .newerFormat(found: version, known: scripts.count) }
    return max(version, 0)
  }

  /// The switch needs an exclusive lock, for which SQLite does not wait. This retries it, because two processes may
  /// open a new file at once.
  private static func switchToWriteAheadLog(_ connection: SQLiteConnection) throws(StoreError) {
    var attempts = 0
    while true {
      do throws(StoreError) {
        return try connection.execute("PRAGMA journal_mode = WAL")
      } catch {
        attempts += 1
        if attempts == 100 { throw error }
        SQLiteConnection.pause(.milliseconds(20))
      }
    }
  }

  private static func number(_ connection: SQLiteConnection, _ query: String) throws(StoreError) -> Int {
    Int(clamping: try connection.prepare(query).rows().first?.first?.number ?? 0)
  }
}
