internal import COpenSSL

/// The key of the cookies, shared by a server's DTLS engines.
///
/// It is an OpenSSL context with the key, copied for each cookie: fetching the algorithm and setting the key each time
/// would double the cost.
// @unchecked: nothing changes the context after `init`. All shards copy it at the same time, which only reads it and
// counts an atomic reference in OpenSSL. Without memory every cookie is wrong, and no DTLS client is served.
@safe
public final class HelloCookieKey: @unchecked Sendable {
  /// Nil if OpenSSL has no memory: then every cookie is wrong.
  private let context: OpaquePointer?

  /// - Parameter bytes: 32 random bytes.
  public init(_ bytes: [UInt8]) {
    let function = unsafe EVP_MAC_fetch(nil, "HMAC", nil)
    defer { unsafe EVP_MAC_free(function) }
    unsafe context = EVP_MAC_CTX_new(function)
    guard let context = unsafe context else { return }
    _ = unsafe copenssl_use_digest(context, "SHA256")
    _ = unsafe EVP_MAC_init(context, bytes, bytes.count, nil)
  }

  deinit { unsafe EVP_MAC_CTX_free(context) }

  func authenticate(_ message: [UInt8]) -> [UInt8]? {
    guard let context = unsafe EVP_MAC_CTX_dup(context) else { return nil }
    defer { unsafe EVP_MAC_CTX_free(context) }
    var result = [UInt8](repeating: 0, count: 32)
    var length = 0
    guard unsafe EVP_MAC_update(context, message, message.count) == 1,
      unsafe EVP_MAC_final(context, &result, &length, result.count) == 1, length == 32
    else { return nil }
    return result
  }
}

/// The cookie with which a DTLS client proves its address (RFC 6347 section 4.2.1): a MAC over its address and the
/// time, so that the server has no state before the cookie returns.
struct HelloCookie {
  var key: HelloCookieKey
  /// The source address of the current hello.
  var peer: [UInt8] = []
  /// A number that changes every minute; the previous one is still valid.
  var period: UInt64 = 0

  static let byteCount = 16

  /// Nil if OpenSSL has no memory.
  private func value(period: UInt64) -> [UInt8]? {
    let message = peer + (0..<8).map { UInt8(truncatingIfNeeded: period >> (8 * $0)) }
    return key.authenticate(message).map { Array($0.prefix(Self.byteCount)) }
  }

  private func accepts(_ cookie: UnsafeBufferPointer<UInt8>) -> Bool {
    guard cookie.count == Self.byteCount else { return false }
    for period in [period, period &- 1] {
      guard let good = value(period: period) else { continue }
      if unsafe CRYPTO_memcmp(cookie.baseAddress, good, Self.byteCount) == 0 { return true }
    }
    return false
  }

  /// Makes a server's context send and check the cookie with the `EngineState` of the connection.
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
