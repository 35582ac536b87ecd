internal import COpenSSL

/// The cookie with which a DTLS client proves that it is where it says (RFC 6347 section 4.2.1): a MAC over its
/// address and the time, so that nothing is kept for whoever has not shown it yet.
struct HelloCookie {
  /// 32 random bytes, the same on every thread of the server.
  var key: [UInt8]
  /// The address that the hello at hand came from.
  var peer: [UInt8] = []
  /// A number that changes every minute; the one before is good still.
  var period: UInt64 = 0

  static let byteCount = 16

  /// Nil where OpenSSL has no memory.
  private func value(period: UInt64) -> [UInt8]? {
    let message = peer + (0..<8).map { UInt8(truncatingIfNeeded: period >> (8 * $0)) }
    var result = [UInt8](repeating: 0, count: 32)
    var length = 0
    let done = unsafe EVP_Q_mac(
      nil, "HMAC", nil, "SHA256", nil, key, key.count, message, message.count, &result, result.count, &length)
    return unsafe done != nil && length == 32 ? Array(result.prefix(Self.byteCount)) : nil
  }

  private func accepts(_ cookie: UnsafeBufferPointer<UInt8>) -> Bool {
    guard cookie.count == Self.byteCount else { return false }
    for period in [period, period &- 1] {
      guard let good = value(period: period) else { continue }
      if unsafe CRYPTO_memcmp(cookie.baseAddress, good, Self.byteCount) == 0 { return true }
    }
    return false
  }

  /// Makes a server's context ask for the cookie, and check it, by the `EngineState` of the connection.
  static func install(on context: OpaquePointer) {
    unsafe SSL_CTX_set_cookie_generate_cb(context) { connection, cookie, length in
      guard let value = unsafe HelloCookie.of(connection).flatMap({ $0.value(period: $0.period) }),
        let cookie = unsafe cookie, let length = unsafe length
      else { return 0 }
      unsafe cookie.update(from: value, count: value.count)
      unsafe length.pointee = UInt32(value.count)
      return 1
    }
    unsafe SSL_CTX_set_cookie_verify_cb(context) { connection, cookie, length in
      guard let check = unsafe HelloCookie.of(connection) else { return 0 }
      return unsafe check.accepts(UnsafeBufferPointer(start: cookie, count: Int(length))) ? 1 : 0
    }
  }

  private static func of(_ connection: OpaquePointer?) -> HelloCookie? {
    guard let data = unsafe SSL_get_ex_data(connection, 0) else { return nil }
    // Sound: `TLSEngine` puts its state there, which lives as long as the connection.
    return unsafe data.assumingMemoryBound(to: EngineState.self).pointee.cookie
  }
}
