internal import COpenSSL

/// Why a TLS connection, or something on it, failed. The connection is of no further use; what the engine still has
/// in its output (an alert) should be sent before the transport is closed.
public struct TLSError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Cause: String, Hashable, Sendable, CaseIterable {
    /// The handshake could not be completed: no common version or cipher, an alert, bytes that are not TLS.
    case handshake
    /// The peer's certificate was refused, by us or (an alert says so) ours by the peer.
    case certificate
    /// A record after the handshake was malformed or its integrity check failed.
    case record
    /// The caller fed more than it read, or OpenSSL produced more than was taken.
    case limit
    /// OpenSSL itself failed (out of memory).
    case library
  }

  public let cause: Cause
  /// OpenSSL's reason text, or ours where OpenSSL gave none.
  public let reason: String

  public init(_ cause: Cause, _ reason: String) {
    self.cause = cause
    self.reason = reason
  }

  public var description: String { reason }
}

/// OpenSSL's error queue, which belongs to the thread: whatever is left in it would be taken for the error of the
/// next call, so every failing call empties it.
enum ErrorQueue {
  static func clear() { ERR_clear_error() }

  /// Empties the queue; the text of its first entry, which is the root cause, or nil where there was none.
  static func drain() -> String? {
    let first = ERR_get_error()
    guard first != 0 else { return nil }
    let text = reason(of: first)
    ERR_clear_error()
    return text
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
