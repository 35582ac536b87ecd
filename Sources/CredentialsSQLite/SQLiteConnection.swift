internal import Credentials
internal import CSQLite
internal import NetworkTypes
internal import System

/// One connection to a database file, and the statements that were prepared on it. It belongs to one thread at a time.
@safe
final class SQLiteConnection {
  private let database: OpaquePointer
  let path: String

  /// The access to the database file.
  enum Access {
    /// Reads and writes; creates a missing file with mode 0600.
    case creating
    /// Reads and writes an existing file.
    case existing
    /// Reads only, and creates no file beside the database.
    case reading
  }

  static let inMemory = ":memory:"

  init(path: String, _ access: Access) throws(StoreError) {
    self.path = path
    if path != Self.inMemory { try Self.prepareFile(path, access) }
    var opened: OpaquePointer?
    // With one thread at a time SQLite needs no locks. URIs are off, so that a path is taken literally, except for our
    // own immutable URI.
    let flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
    var name = path
    let mode =
      switch access {
      case .creating: SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
      case .existing: SQLITE_OPEN_READWRITE
      // There is no write-ahead log: SQLite would create an empty one for a reader, unless the URI says immutable.
      case .reading where !Files.exists(path + "-wal"): SQLITE_OPEN_READONLY | SQLITE_OPEN_URI
      case .reading: SQLITE_OPEN_READONLY
      }
    if mode & SQLITE_OPEN_URI != 0 { name = Self.immutableURI(path) }
    let code = unsafe sqlite3_open_v2(name, &opened, flags | mode, nil)
    guard code == SQLITE_OK, let database = unsafe opened else {
      let error = unsafe Errno(rawValue: sqlite3_system_errno(opened))
      unsafe sqlite3_close_v2(opened)
      guard error.rawValue != 0 else { throw Self.failure(code, path) }
      throw .unavailable(Files.explain(.system(error), of: path))
    }
    unsafe self.database = database
    unsafe sqlite3_busy_timeout(database, 5000)
  }

  /// A URI that declares the file immutable while it is open: SQLite then creates no file beside it.
  private static func immutableURI(_ path: String) -> String {
    let digits = Array("0123456789ABCDEF")
    let escaped = path.utf8.map { byte in
      switch byte {
      case UInt8(ascii: "%"), UInt8(ascii: "?"), UInt8(ascii: "#"), 0x80...:
        "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
      default: String(decoding: [byte], as: UTF8.self)
      }
    }
    return "file:\(escaped.joined())?immutable=1"
  }

  /// Refuses a path that is no regular file, because SQLite would read a pipe to its end. Creates a missing file before
  /// SQLite does, whose new file would have the mode that the umask leaves. The write-ahead log gets the file's mode
  /// and owner.
  private static func prepareFile(_ path: String, _ access: Access) throws(StoreError) {
    if Files.exists(path), !Files.isRegular(path) { throw .unavailable(Files.explain(.notRegular, of: path)) }
    guard case .creating = access else { return }
    do throws(FileError) { try Files.createState(path) } catch {
      throw .unavailable(Files.explain(error, of: path))
    }
  }

  deinit { unsafe sqlite3_close_v2(database) }

  /// Runs statements that take no values.
  func execute(_ sql: String) throws(StoreError) {
    let code = unsafe sqlite3_exec(database, sql, nil, nil, nil)
    guard code == SQLITE_OK else { throw failure(code) }
  }

  func prepare(_ sql: String) throws(StoreError) -> Statement {
    var prepared: OpaquePointer?
    let code = unsafe sqlite3_prepare_v3(database, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, nil)
    guard code == SQLITE_OK, let statement = unsafe prepared else { throw failure(code) }
    return unsafe Statement(statement, of: self)
  }

  /// The number of rows that this connection has changed.
  var totalChanges: Int64 { unsafe sqlite3_total_changes64(database) }

  /// The number of rows that the last statement changed.
  var changes: Int64 { unsafe sqlite3_changes64(database) }

  /// Runs `body` as one transaction that takes the write lock at its beginning: a second writer waits instead of
  /// failing half-way.
  func transaction<Result>(_ body: () throws(StoreError) -> Result) throws(StoreError) -> Result {
    try execute("BEGIN IMMEDIATE")
    do throws(StoreError) {
      let result = try body()
      try execute("COMMIT")
      return result
    } catch {
      // The caller gets the first error. If ROLLBACK fails too, closing the connection ends the transaction.
      try? execute("ROLLBACK")
      throw error
    }
  }

  func failure(_ code: Int32) -> StoreError { Self.failure(code, path) }

  /// SQLite's reason with the path, and with owner and mode if permissions are missing.
  private static func failure(_ code: Int32, _ path: String) -> StoreError {
    let reason = unsafe "\(path): \(String(cString: sqlite3_errstr(code)))"
    // The extended codes have the primary one in their lowest byte.
    guard [SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_PERM].contains(code & 0xFF), path != inMemory else {
      return .unavailable(reason)
    }
    let files = [path, path + "-wal", path + "-shm"].filter { Files.exists($0) }
    return .unavailable("\(reason) (\(Files.rights(of: files.first { !Files.isWritable($0) } ?? path)))")
  }

  /// Sleeps before a retry, for operations on which SQLite itself does not wait.
  static func pause(_ time: Duration) { sqlite3_sleep(time.milliseconds) }
}

/// A value in a row or bound to a statement. Text is kept as bytes: names are compared byte for byte.
enum Value: Equatable {
  case null
  case integer(Int64)
  case blob([UInt8])

  var bytes: [UInt8] {
    if case .blob(let bytes) = self { return bytes }
    return []
  }

  var number: Int64 {
    if case .integer(let number) = self { return number }
    return 0
  }

  /// The bytes as a text.
  var string: String { String(decoding: bytes, as: UTF8.self) }

  /// The bytes of a text.
  static func text(_ text: String) -> Value { .blob(Array(text.utf8)) }
}

/// A prepared statement. Values reach SQLite through parameters only, never inside the SQL text.
@safe
final class Statement {
  private let statement: OpaquePointer
  /// Keeps the connection open as long as the statement.
  private let connection: SQLiteConnection

  @unsafe
  fileprivate init(_ statement: OpaquePointer, of connection: SQLiteConnection) {
    unsafe self.statement = statement
    self.connection = connection
  }

  deinit { unsafe sqlite3_finalize(statement) }

  /// Runs the statement and returns the number of changed rows.
  @discardableResult
  func run(_ values: Value...) throws(StoreError) -> Int64 {
    _ = try step(values)
    return connection.changes
  }

  /// Runs the statement and returns its rows.
  func rows(_ values: Value...) throws(StoreError) -> [[Value]] { try step(values) }

  private func step(_ values: [Value]) throws(StoreError) -> [[Value]] {
    defer {
      unsafe sqlite3_reset(statement)
      unsafe sqlite3_clear_bindings(statement)
    }
    for (index, value) in values.enumerated() { try bind(value, at: Int32(index + 1)) }
    var rows: [[Value]] = []
    while true {
      let code = unsafe sqlite3_step(statement)
      switch code {
      case SQLITE_ROW: rows.append(row())
      case SQLITE_DONE: return rows
      default: throw connection.failure(code)
      }
    }
  }

  private func bind(_ value: Value, at index: Int32) throws(StoreError) {
    let code =
      switch value {
      case .null: unsafe sqlite3_bind_null(statement, index)
      case .integer(let number): unsafe sqlite3_bind_int64(statement, index, number)
      // An empty array is a blob, not a null.
      case .blob(let bytes) where bytes.isEmpty: unsafe sqlite3_bind_zeroblob(statement, index, 0)
      case .blob(let bytes): unsafe csqlite_bind_blob(statement, index, bytes, Int32(clamping: bytes.count))
      }
    guard code == SQLITE_OK else { throw connection.failure(code) }
  }

  private func row() -> [Value] {
    unsafe (0..<sqlite3_column_count(statement)).map { column in
      switch unsafe sqlite3_column_type(statement, column) {
      case SQLITE_INTEGER:
        return unsafe .integer(sqlite3_column_int64(statement, column))
      case SQLITE_BLOB:
        let count = unsafe Int(sqlite3_column_bytes(statement, column))
        guard let bytes = unsafe sqlite3_column_blob(statement, column) else { return .blob([]) }
        // Sound: the bytes are valid until the next step, and are copied here.
        return unsafe .blob(Array(UnsafeRawBufferPointer(start: bytes, count: count)))
      default:
        return .null
      }
    }
  }
}
