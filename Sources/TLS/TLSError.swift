internal import COpenSSL

/// The reason why a TLS connection failed. The connection cannot be used any more; the engine's remaining output (an
/// alert) should be sent before the transport is closed.
public struct TLSError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kind of a failure.
  public enum Cause: String, Hashable, Sendable, CaseIterable {
    /// The handshake could not be completed: no common version or cipher, an alert, bytes that are not TLS.
    case handshake
    /// We refused the peer's certificate, or the peer refused ours with an alert.
    case certificate
    /// A record after the handshake was malformed or its integrity check failed.
    case record
    /// The caller passed in more than it read, or OpenSSL produced more than the caller took.
    case limit
    /// OpenSSL failed, for example because there was no memory.
    case library
  }

  /// The kind of the failure.
  public let cause: Cause
  /// OpenSSL's reason text, or ours if OpenSSL gave none.
  public let reason: String
  /// The alert that the other side has sent; nil for other failures.
  public let alert: TLSAlert?

  public init(_ cause: Cause, _ reason: String, alert: TLSAlert? = nil) {
    self.cause = cause
    self.reason = reason
    self.alert = alert
  }

  public var description: String { reason }
}

/// The thread's OpenSSL error queue. Every failing call empties it, because an entry left in it would look like the
/// error of the next call.
enum OpenSSLErrors {
  static func clear() { ERR_clear_error() }

  /// Empties the queue and returns the text of its first entry, the root cause; nil if it was empty.
  static func drain() -> String? { drainWithAlert()?.reason }

  /// Empties the queue and returns the text of its first entry, with the alert if the other side has sent one.
  static func drainWithAlert() -> (reason: String, alert: TLSAlert?)? {
    let first = ERR_get_error()
    guard first != 0 else { return nil }
    let text = reason(of: first)
    ERR_clear_error()
    // OpenSSL's reason for a received alert is 1000 plus the alert's number (SSL_AD_REASON_OFFSET).
    let code = ERR_GET_LIB(first) == ERR_LIB_SSL ? Int(ERR_GET_REASON(first)) - Int(SSL_AD_REASON_OFFSET) : -1
    return (text, UInt8(exactly: code).map { TLSAlert(rawValue: $0) })
  }

  private static func reason(of code: UInt) -> String {
    if let reason = unsafe ERR_reason_error_string(code) { return unsafe String(cString: reason) }
    // Errors of the operating system have no reason string; the long form ends with strerror's text.
    return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
      guard let base = buffer.baseAddress else { return "unknown error" }
      unsafe ERR_error_string_n(code, base, buffer.count)
      let text = unsafe String(cString: base)
      return text.split(separator: ":").last.map(String.init) ?? text
    }
  }
}
