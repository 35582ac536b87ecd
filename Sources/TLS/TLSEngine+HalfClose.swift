internal import COpenSSL

extension TLSEngine {
  /// Says that we will send nothing more, and goes on reading: one direction of a byte stream has ended (RFC 8446
  /// section 6.1). The close_notify goes into the output.
  public mutating func endWriting() {
    guard failure == nil, isEstablished else { return }
    ERR_clear_error()
    _ = unsafe SSL_shutdown(connection)
    ErrorQueue.clear()
  }
}
