public import Crypto
internal import NetworkTypes

/// A key that an authorization server shares with this one (RFC 7635 section 4.1.2).
public struct AccessTokenKey: Sendable {
  /// The name by which requests choose it, in USERNAME (`kid`).
  public var id: [UInt8]
  /// 32 bytes (A256GCM) or 16 (A128GCM).
  public var key: [UInt8]
  /// Seconds since 1970 from which on it is not taken any more; nil: for ever.
  public var notAfter: UInt64?

  public init(id: [UInt8], key: [UInt8], notAfter: UInt64? = nil) {
    self.id = id
    self.key = key
    self.notAfter = notAfter
  }
}

/// What an authorization server tells this one through a client that cannot read it (RFC 7635 section 6.2).
///
/// ```
///  nonce length (2) | nonce | AEAD( key length (2) | mac_key | timestamp (8) | lifetime (4) )
/// ```
public struct AccessToken: Sendable, Equatable {
  /// What the client's messages are signed with: 16 to 32 bytes; 20 are usual.
  public var macKey: Digest
  /// When it was made: seconds since 1970, 48 bits, and 1/64,000 of a second, 16 bits.
  public var timestamp: UInt64
  /// Seconds that it is good for from then on.
  public var lifetime: UInt32

  /// Seconds by which the clocks of both servers may differ (RFC 7635 section 7).
  public static let clockDifference: UInt64 = 5

  public init(macKey: Digest, timestamp: UInt64, lifetime: UInt32) {
    self.macKey = macKey
    self.timestamp = timestamp
    self.lifetime = lifetime
  }

  /// Opens a token; nil where it was not sealed with this key for this server, or is not of this form: every length
  /// in it must be exactly what is left.
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
    lifetime = block[(10 + keyByteCount)...].reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// Seals the token for the server of this name.
  ///
  /// - Parameter nonce: 12 bytes that are never used twice with the key.
  /// - Returns: nil where key or nonce have the wrong length.
  public func sealed(key: AccessTokenKey, serverName: [UInt8], nonce: [UInt8]) -> [UInt8]? {
    var block = [0, UInt8(macKey.count)] + macKey.array
    block += (0..<8).map { UInt8(truncatingIfNeeded: timestamp >> (56 - 8 * $0)) }
    block += (0..<4).map { UInt8(truncatingIfNeeded: lifetime >> (24 - 8 * $0)) }
    guard let box = AEAD.seal(block, key: key.key, nonce: nonce, associatedData: serverName) else { return nil }
    return [0, UInt8(nonce.count)] + nonce + box
  }

  /// Seconds that the token is good for still; nil where it is not, or not yet: `lifetime + 5 > |now - timestamp|`
  /// (RFC 7635 sections 7 and 9).
  public func remaining(now: UInt64) -> UInt32? {
    let made = timestamp >> 16
    let distance = now > made ? now - made : made - now
    let limit = UInt64(lifetime) + Self.clockDifference
    return limit > distance ? UInt32(clamping: limit - distance) : nil
  }
}
