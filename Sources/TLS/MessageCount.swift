internal import COpenSSL
internal import Synchronization

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

/// Counts the same for connections whose engine belongs to another library, which installs its `SSL_CTX` here.
public enum ForeignMessageCount {
  /// The slot of OpenSSL's extra data in which a connection has its count. If OpenSSL had none left, nothing could be
  /// counted, and every connection would end with its first handshake message.
  private static let slot = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, nil, nil, nil, nil)

  /// Makes every connection of a context count, and stop reading beyond the limit, so that its library closes it.
  ///
  /// - Parameter floods: counts the connections that went beyond it; must outlive the context.
  static func install(on context: OpaquePointer, counting floods: FloodCount) {
    _ = unsafe SSL_CTX_ctrl(
      context, SSL_CTRL_SET_MSG_CALLBACK_ARG, 0, Unmanaged.passUnretained(floods).toOpaque())
    unsafe SSL_CTX_set_msg_callback(context) { isWritten, _, kind, _, _, connection, argument in
      guard kind == (isWritten == 0 ? SSL3_RT_HANDSHAKE : SSL3_RT_ALERT), let connection = unsafe connection else {
        return
      }
      let count = unsafe Int(bitPattern: SSL_get_ex_data(connection, ForeignMessageCount.slot)) + 1
      // The count stands in the pointer itself; nothing is behind it.
      let isKept =
        unsafe SSL_set_ex_data(
          connection, ForeignMessageCount.slot, UnsafeMutableRawPointer(bitPattern: count)) == 1
      guard count > MessageCount.limit || !isKept else { return }
      // OpenSSL checks this flag before each record, and so reads no further.
      unsafe SSL_set_shutdown(connection, SSL_get_shutdown(connection) | SSL_RECEIVED_SHUTDOWN)
      // Sound: `install` put the object there, which outlives the context. Later alerts of ours are not counted again.
      guard count == MessageCount.limit + 1, let argument = unsafe argument else { return }
      unsafe Unmanaged<FloodCount>.fromOpaque(argument).takeUnretainedValue().add()
    }
  }

  /// Application data has arrived on a connection of such a context.
  @unsafe
  public static func reset(_ connection: OpaquePointer) { _ = unsafe SSL_set_ex_data(connection, slot, nil) }
}

/// The connections of another library that were ended because of their handshake messages.
final class FloodCount: Sendable {
  private let count = Atomic<Int>(0)

  var value: Int { count.load(ordering: .relaxed) }

  func add() { count.wrappingAdd(1, ordering: .relaxed) }
}
