public import NetworkTypes

/// The keys of a long-term credential (RFC 8489 section 18.5.1). Stores keep them instead of the password.
///
/// Name, realm and password must already be prepared (SASLprep for RFC 5389 clients, OpaqueString for RFC 8489).
public enum LongTermKey {
  /// `MD5(username ":" realm ":" password)`, 16 bytes: every client supports it.
  public static func md5(username: [UInt8], realm: [UInt8], password: [UInt8]) -> Digest {
    derive(.md5, username, realm, password)
  }

  /// `SHA-256(username ":" realm ":" password)`, 32 bytes (RFC 8489 section 18.5.1.2).
  public static func sha256(username: [UInt8], realm: [UInt8], password: [UInt8]) -> Digest {
    derive(.sha256, username, realm, password)
  }

  /// `SHA-256(username ":" realm)`, 32 bytes: the USERHASH attribute (RFC 8489 section 14.4).
  public static func userHash(username: [UInt8], realm: [UInt8]) -> Digest {
    var context = HashContext(.sha256)
    return context.hash((username + colon + realm).span.rawBytes)
  }

  private static let colon: [UInt8] = [UInt8(ascii: ":")]

  private static func derive(
    _ algorithm: HashAlgorithm, _ username: [UInt8], _ realm: [UInt8], _ password: [UInt8]
  ) -> Digest {
    var context = HashContext(algorithm)
    return context.hash((username + colon + realm + colon + password).span.rawBytes)
  }
}

/// Time-limited credentials as of draft-uberti-behave-turn-rest-00: the username is `expiry:anything`, the password
/// `base64(HMAC-SHA1(secret, username))`.
public enum TimeLimitedCredential {
  /// The password that belongs to `username` under `secret`.
  public static func password(username: [UInt8], secret: [UInt8]) -> [UInt8] {
    var context = HMACContext(.sha1)
    let mac = context.authenticate(username.span.rawBytes, key: secret.span.rawBytes)
    return Array(Base64.encode(mac.array).utf8)
  }

  /// The expiry of `username`: its digits before the first colon, or all of it without a colon. Nil if the name has no
  /// such digits.
  public static func expiry(ofUsername username: [UInt8]) -> UnixTime? {
    let digits = username.prefix { $0 != UInt8(ascii: ":") }
    guard (1...19).contains(digits.count) else { return nil }
    var value: UInt64 = 0
    for digit in digits {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
      value = value * 10 + UInt64(digit - UInt8(ascii: "0"))
    }
    return UnixTime(clamping: value)
  }

  /// The name that quotas count: the part after the first colon, or the whole name if that part is empty.
  public static func quotaName(ofUsername username: [UInt8]) -> [UInt8] {
    guard let colon = username.firstIndex(of: UInt8(ascii: ":")) else { return username }
    let rest = username[(colon + 1)...]
    return rest.isEmpty ? username : Array(rest)
  }
}
