internal import COpenSSL

extension TLSEngine {
  /// Ends our direction of the stream and keeps reading (RFC 8446 section 6.1). Adds a close_notify to the output.
  public mutating func endWriting() {
    guard failure == nil, isEstablished else { return }
    ERR_clear_error()
    _ = unsafe SSL_shutdown(connection)
    OpenSSLErrors.clear()
  }
}

extension TLSEngine {
  /// Adds a KeyUpdate that requests one in return (RFC 8446 section 4.6.3) to the output, for tests.
  package mutating func requestKeyUpdate() {
    ERR_clear_error()
    _ = unsafe SSL_key_update(connection, SSL_KEY_UPDATE_REQUESTED)
    _ = unsafe SSL_do_handshake(connection)
    OpenSSLErrors.clear()
  }
}
