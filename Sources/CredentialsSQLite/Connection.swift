internal import CSQLite
internal import Credentials

/// One connection to a database file, and the statements that were prepared on it. Belongs to one thread at a time.
@safe
final class Connection {
  private let database: OpaquePointer

  /// Opens the file, which is created with mode 0600 if it is missing.
  init(path: String) throws(StoreError) {
    if path != ":memory:" { unsafe csqlite_create_private(path) }
    var opened: OpaquePointer?
    // One thread at a time needs none of SQLite's own locks. URIs are off: a path is a path.
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
    let code = unsafe sqlite3_open_v2(path, &opened, flags, nil)
    guard code == SQLITE_OK, let database = unsafe opened else {
      let reason = unsafe String(cString: sqlite3_errstr(code))
      unsafe sqlite3_close_v2(opened)
      throw .unavailable("\(path): \(reason)")
    }
    unsafe self.database = database
    unsafe sqlite3_busy_timeout(database, 5000)
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

  /// How many rows this connection has changed since it was opened.
  var totalChanges: Int64 { unsafe sqlite3_total_changes64(database) }

  /// How many rows the last statement changed.
  var changes: Int64 { unsafe sqlite3_changes64(database) }

  /// Runs `body` as one transaction, which writes from its beginning: two writers wait for each other instead of
  /// failing half-way.
  func transaction<Result>(_ body: () throws(StoreError) -> Result) throws(StoreError) -> Result {
    try execute("BEGIN IMMEDIATE")
    do throws(StoreError) {
      let result = try body()
      try execute("COMMIT")
      return result
    } catch {
      // What went wrong first is what counts; a failed roll-back ends with the connection.
      try? execute("ROLLBACK")
      throw error
    }
  }

  func failure(_ code: Int32) -> StoreError {
    unsafe .unavailable(String(cString: sqlite3_errstr(code)))
  }

  /// Sleeps: for retries where SQLite's own waiting does not reach.
  static func pause(milliseconds: Int32) { sqlite3_sleep(milliseconds) }
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

  /// The bytes of a text.
  static func text(_ text: String) -> Value { .blob(Array(text.utf8)) }
}

/// A prepared statement. Values only ever reach SQLite through its parameters.
@safe
final class Statement {
  private let statement: OpaquePointer
  /// Keeps the connection open as long as the statement.
  private let connection: Connection

  @unsafe
  fileprivate init(_ statement: OpaquePointer, of connection: Connection) {
    unsafe self.statement = statement
    self.connection = connection
  }

  deinit { unsafe sqlite3_finalize(statement) }

  /// Runs the statement and returns how many rows it changed.
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
      // No bytes are still a blob, not a null.
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
        // Sound: the bytes stay until the next step, and are copied here.
        return unsafe .blob(Array(UnsafeRawBufferPointer(start: bytes, count: count)))
      default:
        return .null
      }
    }
  }
}
