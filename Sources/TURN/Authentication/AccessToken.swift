public import Crypto
internal import NetworkTypes

/// A key that an authorization server shares with this one (RFC 7635 section 4.1.2).
public struct AccessTokenKey: Sendable {
  /// The name in USERNAME by which requests choose the key (`kid`).
  public var id: [UInt8]
  /// 32 bytes (A256GCM) or 16 (A128GCM).
  public var key: [UInt8]
  /// Seconds since 1970 at which the key expires; nil: never.
  public var notAfter: UInt64?

  public init(id: [UInt8], key: [UInt8], notAfter: UInt64? = nil) {
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
  /// The creation time: seconds since 1970 in 48 bits, and 1/64,000 of a second in 16 bits.
  public var timestamp: UInt64
  /// The lifetime from `timestamp` on; 32 bits of seconds in the token.
  public var lifetime: Duration

  /// The time by which the clocks of both servers may differ (RFC 7635 section 7).
  public static let clockDifference = Duration.seconds(5)

  public init(macKey: Digest, timestamp: UInt64, lifetime: Duration) {
    self.macKey = macKey
    self.timestamp = timestamp
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
    timestamp = block[(2 + keyByteCount)..<(10 + keyByteCount)].reduce(0) { $0 << 8 | UInt64($1) }
    lifetime = Duration(wireSeconds: block[(10 + keyByteCount)...].reduce(0) { $0 << 8 | UInt32($1) })
  }

  /// Seals the token for a server name.
  ///
  /// - Parameter nonce: 12 bytes that are never used twice with the key.
  /// - Returns: nil if key or nonce have the wrong length.
  public func sealed(key: AccessTokenKey, serverName: [UInt8], nonce: [UInt8]) -> [UInt8]? {
    var block = [0, UInt8(macKey.count)] + macKey.array
    block += (0..<8).map { UInt8(truncatingIfNeeded: timestamp >> (56 - 8 * $0)) }
    block += (0..<4).map { UInt8(truncatingIfNeeded: lifetime.wholeSeconds >> (24 - 8 * $0)) }
    guard let box = AEAD.seal(block, key: key.key, nonce: nonce, associatedData: serverName) else { return nil }
    return [0, UInt8(nonce.count)] + nonce + box
  }

  /// The time until the token expires; nil if it has expired or is not valid yet: `lifetime + 5 > |now - timestamp|`
  /// (RFC 7635 sections 7 and 9).
  public func timeLeft(now: UInt64) -> Duration? {
    let made = timestamp >> 16
    let distance = Duration.seconds(now > made ? now - made : made - now)
    let left = lifetime + Self.clockDifference - distance
    return left > .zero ? left : nil
  }
}
