internal import Credentials

/// Brings a database file to the format that this version of the program reads and writes.
enum Migrations {
  /// One script for each step: `user_version` says how many have run.
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
    """
  ]

  static func prepare(_ connection: Connection) throws(StoreError) {
    try switchToWriteAheadLog(connection)
    // What is deleted is overwritten: a removed secret does not linger in the file.
    try connection.execute("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF")
    if try version(connection) == scripts.count { return }
    try connection.transaction { () throws(StoreError) in
      // Asked again: another process may have been quicker.
      let found = try version(connection)
      guard found <= scripts.count else {
        throw StoreError.newerFormat(found: found, known: scripts.count)
      }
      for script in scripts[found...] { try connection.execute(script) }
      try connection.execute("PRAGMA user_version = \(scripts.count)")
    }
  }

  /// The switch needs the file for itself, and SQLite does not wait for it: two processes that open a new file at
  /// once take turns here.
  private static func switchToWriteAheadLog(_ connection: Connection) throws(StoreError) {
    var attempts = 0
    while true {
      do throws(StoreError) {
        return try connection.execute("PRAGMA journal_mode = WAL")
      } catch {
        attempts += 1
        if attempts == 100 { throw error }
        Connection.pause(milliseconds: 20)
      }
    }
  }

  private static func version(_ connection: Connection) throws(StoreError) -> Int {
    Int(clamping: try connection.prepare("PRAGMA user_version").rows().first?.first?.number ?? 0)
  }
}
