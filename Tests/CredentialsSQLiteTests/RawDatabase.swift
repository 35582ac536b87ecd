@testable internal import CredentialsSQLite

/// Writes a database without the store, as another program does.
enum RawDatabase {
  static func execute(_ statements: String, path: String) throws {
    try SQLiteConnection(path: path, .creating).execute(statements)
  }
}
