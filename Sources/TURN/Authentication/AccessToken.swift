public import Crypto
public import NetworkTypes

/// A key that an authorization server shares with this one (RFC 7635 section 4.1.2).
public struct AccessTokenKey: Sendable {
  /// The name in USERNAME by which requests choose the key (`kid`).
  public var id: [UInt8]
  /// 32 bytes (A256GCM) or 16 (A128GCM).
  public var key: [UInt8]
  /// Nil: the key does not expire.
  public var notAfter: UnixTime?

  public init(id: [UInt8], key: [UInt8], notAfter: UnixTime? = nil) {
    self.id = id
    self.key = key
    self.notAfter = notAfter
  }
}

/// A token from an authorization server to this server; the client passes it on and cannot read it (RFC 7635 section
/// 6.2).
///
/// ```
///  nonce length (2) | nonce | AEAD( key length (2) | mac_key | timestamp (8) | lifetime (4) )
/// ```
public struct AccessToken: Sendable, Equatable {
  /// The key of the client's MESSAGE-INTEGRITY: 16 to 32 bytes; 20 are usual.
  public var macKey: Digest
  /// The creation time; in the token 48 bits of seconds, and 16 bits of a fraction that no check needs.
  public var created: UnixTime
  /// The lifetime from `created` on; 32 bits of seconds in the token.
  public var lifetime: Duration

  /// The time by which the clocks of both servers may differ (RFC 7635 section 7).
  public static let clockDifference = Duration.seconds(5)

  public init(macKey: Digest, created: UnixTime, lifetime: Duration) {
    self.macKey = macKey
    self.created = created
    self.lifetime = lifetime
  }

  /// Opens a token. Nil if it was not sealed with this key for this server, or has another form: every length in it
  /// must match exactly.
  public init?(_ sealed: RawSpan, key: AccessTokenKey, serverName: [UInt8]) {
    let header = 2 + AEAD.nonceByteCount
    guard sealed.byteCount > header + AEAD.tagByteCount, sealed.byteCount <= 1024,
      sealed.byte(at: 0) == 0, Int(sealed.byte(at: 1)) == AEAD.nonceByteCount,
      let block = AEAD.open(
        sealed.extracting(header..<sealed.byteCount).copied(), key: key.key,
        nonce: sealed.extracting(2..<header).copied(), associatedData: serverName),
      block.count > 2
    else { return nil }
    let keyByteCount = Int(block[0]) << 8 | Int(block[1])
    guard (16...32).contains(keyByteCount), block.count == 2 + keyByteCount + 8 + 4,
      let macKey = Digest(Array(block[2..<(2 + keyByteCount)]))
    else { return nil }
    self.macKey = macKey
    created = UnixTime(clamping: block[(2 + keyByteCount)..<(8 + keyByteCount)].reduce(0) { $0 << 8 | UInt64($1) })
    lifetime = Duration(wireSeconds: block[(10 + keyByteCount)...].reduce(0) { $0 << 8 | UInt32($1) })
  }

  /// Seals the token for a server name.
  ///
  /// - Parameter nonce: 12 bytes that are never used twice with the key.
  /// - Returns: nil if key or nonce have the wrong length.
  public func sealed(key: AccessTokenKey, serverName: [UInt8], nonce: [UInt8]) -> [UInt8]? {
    var block = [0, UInt8(macKey.count)] + macKey.array
    block += (0..<6).map { UInt8(truncatingIfNeeded: created.seconds >> (40 - 8 * $0)) } + [0, 0]
    block += (0..<4).map { UInt8(truncatingIfNeeded: lifetime.wholeSeconds >> (24 - 8 * $0)) }
    guard let box = AEAD.seal(block, key: key.key, nonce: nonce, associatedData: serverName) else { return nil }
    return [0, UInt8(nonce.count)] + nonce + box
  }

  /// The time until the token expires; nil if it has expired or is not valid yet: `lifetime + 5 > |now - created|`
  /// (RFC 7635 sections 7 and 9).
  public func timeLeft(now: UnixTime) -> Duration? {
    let distance = max(now, created).duration(since: min(now, created))
    let left = lifetime + Self.clockDifference - distance
    return left > .zero ? left : nil
  }
}
