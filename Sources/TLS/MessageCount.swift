internal import COpenSSL

/// Limits the peer's handshake messages without application data between them. Each may cost new keys (KeyUpdate, RFC
/// 8446 section 4.6.3) or an alert of ours, and no client needs many in a row.
enum MessageCount {
  /// The limit; in a handshake the peer sends fewer than ten messages.
  static let limit = 32

  /// Makes every connection of a context count in its `EngineState`, and stop reading beyond the limit.
  static func install(on context: OpaquePointer) {
    unsafe SSL_CTX_set_msg_callback(context) { isWritten, _, kind, _, _, connection, _ in
      // Counts received handshake messages, and sent alerts, because a refused record causes an alert without a
      // handshake message.
      guard kind == (isWritten == 0 ? SSL3_RT_HANDSHAKE : SSL3_RT_ALERT), let connection = unsafe connection,
        let data = unsafe SSL_get_ex_data(connection, 0)
      else { return }
      // Sound: `TLSEngine` puts its state there, which lives as long as the connection.
      let state = unsafe data.assumingMemoryBound(to: EngineState.self)
      unsafe state.pointee.messagesWithoutData += 1
      guard unsafe state.pointee.messagesWithoutData > MessageCount.limit else { return }
      // OpenSSL checks this flag before each record, and so reads no further.
      unsafe SSL_set_shutdown(connection, SSL_get_shutdown(connection) | SSL_RECEIVED_SHUTDOWN)
    }
  }
}

extension TLSEngine {
  /// Ends the connection if the peer has sent too many messages without data.
  mutating func failOfMessageFlood() -> TLSError? {
    guard unsafe state.pointee.messagesWithoutData > MessageCount.limit else { return nil }
    OpenSSLErrors.clear()
    let error = TLSError(.limit, "too many handshake messages without data")
    fail(error)
    return error
  }
}
