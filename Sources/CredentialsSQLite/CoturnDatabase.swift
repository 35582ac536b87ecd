public import Credentials
public import Crypto
public import NetworkTypes

/// The content of coturn's user database (SQLite), read without changing it.
public struct CoturnDatabase: Sendable {
  /// A row of `turnusers_lt`: the MD5 key in place of a password.
  public struct User: Equatable, Sendable {
    public var realm: String
    public var name: String
    /// Nil for a key that is not an MD5 key in hexadecimal.
    public var key: Digest?
  }

  /// A row of `turn_secret`.
  public struct Secret: Equatable, Sendable {
    public var realm: String
    public var value: [UInt8]
  }

  /// A row of `allowed_peer_ip` or `denied_peer_ip`.
  public struct PeerRange: Equatable, Sendable {
    public var realm: String
    public var range: String
    public var isAllowed: Bool
  }

  /// A row of `oauth_key`.
  public struct OAuthKey: Equatable, Sendable {
    public var id: String
    /// The key in Base64.
    public var key: String
    public var algorithm: String
    /// The end of its lifetime; nil: none.
    public var notAfter: UnixTime?
    public var realm: String
  }

  public private(set) var users: [User] = []
  public private(set) var secrets: [Secret] = []
  public private(set) var peerRanges: [PeerRange] = []
  public private(set) var oauthKeys: [OAuthKey] = []
  /// Tables without an equivalent that have rows.
  public private(set) var ignoredTables: [String] = []

  /// Reads a database. A database without coturn's tables is refused.
  public init(path: String) throws(StoreError) {
    let connection = try SQLiteConnection(path: path, .reading)
    let tables = try Set(
      connection.prepare("SELECT CAST(name AS BLOB) FROM sqlite_schema WHERE type = 'table'").rows().map {
        $0[0].string
      })
    guard tables.contains("turnusers_lt") else {
      throw .unavailable("\(path): has no table turnusers_lt, so it is not a user database of coturn")
    }
    users = try Self.rows(connection, "SELECT realm, name, hmackey FROM turnusers_lt ORDER BY realm, name").map {
      User(realm: $0[0].string, name: $0[1].string, key: Self.key($0[2]))
    }
    if tables.contains("turn_secret") {
      secrets = try Self.rows(connection, "SELECT realm, value FROM turn_secret ORDER BY rowid").map {
        Secret(realm: $0[0].string, value: $0[1].bytes)
      }
    }
    for (table, isAllowed) in [("allowed_peer_ip", true), ("denied_peer_ip", false)] where tables.contains(table) {
      peerRanges += try Self.rows(connection, "SELECT realm, ip_range FROM \(table) ORDER BY rowid").map {
        PeerRange(realm: $0[0].string, range: $0[1].string, isAllowed: isAllowed)
      }
    }
    if tables.contains("oauth_key") {
      oauthKeys = try connection.prepare(
        """
        SELECT CAST(kid AS BLOB), CAST(ikm_key AS BLOB), CAST(as_rs_alg AS BLOB), CAST(timestamp AS INTEGER),
          CAST(lifetime AS INTEGER), CAST(realm AS BLOB)
        FROM oauth_key ORDER BY rowid
        """
      ).rows().map(Self.oauthKey)
    }
    for table in ["turn_origin_to_realm", "turn_realm_option", "admin_user"] where tables.contains(table) {
      if try !connection.prepare("SELECT 1 FROM \(table) LIMIT 1").rows().isEmpty { ignoredTables.append(table) }
    }
  }

  /// The rows of a query whose columns are read as bytes, whatever their type is.
  private static func rows(_ connection: SQLiteConnection, _ query: String) throws(StoreError) -> [[Value]] {
    let parts = query.dropFirst("SELECT ".count)
    guard let from = parts.firstRange(of: " FROM ") else { return [] }
    let columns = parts[..<from.lowerBound].split(separator: ", ").map { "CAST(\($0) AS BLOB)" }
    return try connection.prepare("SELECT \(columns.joined(separator: ", "))\(parts[from.lowerBound...])").rows()
  }

  /// An MD5 key of 32 hexadecimal digits.
  private static func key(_ value: Value) -> Digest? {
    guard let bytes = Hexadecimal.bytes(value.bytes), bytes.count == 16 else { return nil }
    return Digest(bytes)
  }

  private static func oauthKey(_ row: [Value]) -> OAuthKey {
    // In coturn a key without a lifetime does not expire.
    let lifetime = Duration.seconds(max(row[4].number, 0))
    let start = UnixTime(seconds: max(row[3].number, 0))
    let algorithm = row[2].string
    return OAuthKey(
      id: row[0].string, key: row[1].string, algorithm: algorithm.isEmpty ? "A256GCM" : algorithm,
      notAfter: lifetime == .zero ? nil : start.advanced(by: lifetime), realm: row[5].string)
  }
}
