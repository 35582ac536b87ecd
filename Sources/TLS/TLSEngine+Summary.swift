internal import COpenSSL

/// The result of a handshake: its parameters and the peer's certificate.
public struct TLSConnectionSummary: Hashable, Sendable {
  /// `TLSv1.3`.
  public var version = ""
  /// OpenSSL's name of the cipher suite: `TLS_AES_256_GCM_SHA384`.
  public var cipher = ""
  /// The selected ALPN label; nil if none.
  public var applicationProtocol: String?
  /// The peer's certificate; nil if it sent none.
  public var certificate: CertificateSummary?
  /// The fault of the peer's certificate chain or name; nil if there is none, or if it was not checked (in a server).
  public var complaint: String?
  /// Whether an earlier session was resumed.
  public var isResumed = false

  public init() {}
}

extension TLSEngine {
  /// The result of the handshake; valid after its end, or after a failure about the certificate.
  public var summary: TLSConnectionSummary {
    var summary = TLSConnectionSummary()
    summary.version = unsafe Self.text(SSL_get_version(connection))
    summary.cipher = unsafe Self.text(SSL_CIPHER_get_name(SSL_get_current_cipher(connection)))
    summary.applicationProtocol = applicationProtocol
    summary.certificate = peerCertificate
    summary.complaint = unsafe PeerVerification.complaint(about: connection)
    summary.isResumed = unsafe SSL_session_reused(connection) == 1
    return summary
  }

  /// The selected ALPN label; nil if none.
  public var applicationProtocol: String? {
    var label: UnsafePointer<UInt8>?
    var length: UInt32 = 0
    unsafe SSL_get0_alpn_selected(connection, &label, &length)
    guard let label = unsafe label, length > 0 else { return nil }
    return unsafe String(decoding: UnsafeBufferPointer(start: label, count: Int(length)), as: UTF8.self)
  }

  /// The name that the client requested (SNI); nil if none.
  public var requestedServerName: String? {
    guard let name = unsafe SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name) else { return nil }
    return unsafe String(cString: name)
  }

  private var peerCertificate: CertificateSummary? {
    if let certificate = unsafe SSL_get1_peer_certificate(connection) {
      defer { unsafe X509_free(certificate) }
      return unsafe CertificateSummary(of: certificate)
    }
    guard let certificate = unsafe refusedCertificate else { return nil }
    return unsafe CertificateSummary(of: certificate)
  }

  private static func text(_ value: UnsafePointer<CChar>?) -> String {
    guard let value = unsafe value else { return "" }
    return unsafe String(cString: value)
  }

  /// Offers to resume the session of an earlier connection to the same server.
  package func resumeSession(of earlier: borrowing TLSEngine) {
    guard let session = unsafe SSL_get1_session(earlier.connection) else { return }
    _ = unsafe SSL_set_session(connection, session)
    unsafe SSL_SESSION_free(session)
  }
}
