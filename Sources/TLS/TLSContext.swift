internal import COpenSSL

/// What connections have in common: certificate or authorities, versions, session tickets. Making one costs
/// milliseconds, a connection from it microseconds.
///
/// Replaced as a whole when certificates change; connections that were made from an old one keep it alive.
// @unchecked: OpenSSL counts references to an SSL_CTX atomically, and nothing changes it after `init`.
@safe
public final class TLSContext: @unchecked Sendable {
  public enum Role: Sendable {
    case client
    case server
  }

  public let role: Role
  /// For DTLS (RFC 6347, RFC 7350) and its `DTLSEngine`, not for TLS.
  public let isDatagram: Bool
  let handle: OpaquePointer

  /// The keys that session tickets are sealed with: contexts that share them (one for each thread, or the one before
  /// and after a change of certificate) resume each other's sessions.
  public struct TicketKeys: Sendable {
    let bytes: [UInt8]

    /// New random keys.
    public init() {
      var bytes = [UInt8](repeating: 0, count: 80)
      // Not a secret generator of our own: the same source that OpenSSL takes its ticket keys from.
      let status = unsafe RAND_priv_bytes(&bytes, CInt(bytes.count))
      precondition(status == 1, "OpenSSL cannot get random bytes from the kernel")
      self.bytes = bytes
    }
  }

  /// A server's context. With `clientAuthorities`, clients must present a certificate that one of them issued.
  ///
  /// DTLS has version 1.2 alone, whatever `minimumVersion` says: OpenSSL knows no DTLS 1.3.
  public init(
    server files: CertificateFiles, minimumVersion: TLSVersion = .tls12, isDatagram: Bool = false,
    ticketKeys: TicketKeys? = nil, clientAuthorities: PEMSource? = nil
  ) throws(CertificateError) {
    role = .server
    self.isDatagram = isDatagram
    if isDatagram {
      unsafe handle = try unsafe Self.make(DTLS_server_method(), DTLS1_2_VERSION)
      _ = unsafe SSL_CTX_set_options(handle, copenssl_datagram_options())
      unsafe HelloCookie.install(on: handle)
    } else {
      unsafe handle = try unsafe Self.make(TLS_server_method(), minimumVersion.number)
    }
    // TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 must be had (RFC 8489 section 6.2.3, RFC 7350 section 3): it needs a group.
    _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_SET_DH_AUTO, 1, nil)
    try use(files)
    if let ticketKeys {
      var bytes = ticketKeys.bytes
      _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, bytes.count, &bytes)
    }
    // Of TLS 1.2 only what has forward secrecy and authenticated encryption (RFC 9325 section 4.2).
    _ = unsafe SSL_CTX_set_cipher_list(handle, "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20")
    // Sessions live in tickets only, never in memory of ours; one ticket a handshake is enough.
    _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_SET_SESS_CACHE_MODE, Int(SSL_SESS_CACHE_OFF), nil)
    _ = unsafe SSL_CTX_set_num_tickets(handle, 1)
    _ = unsafe SSL_CTX_set_session_id_context(handle, Array("turnpike".utf8), 8)
    unsafe ApplicationProtocol.choose(on: handle)
    if let clientAuthorities {
      try trust(clientAuthorities)
      unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
    }
    // What a client may send before it is known to anybody.
    _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_SET_MAX_CERT_LIST, Self.maximumClientChainBytes, nil)
    ErrorQueue.clear()
  }

  /// Whom a client trusts.
  public enum Verification: Sendable {
    /// The authorities of the system.
    case system
    /// Those of a PEM file and no others.
    case authorities(PEMSource)
    /// Nobody is asked to prove anything; the verdict is still reached and can be read afterwards.
    case none
  }

  /// A client's context.
  public init(
    client verification: Verification, minimumVersion: TLSVersion = .tls12, isDatagram: Bool = false
  ) throws(CertificateError) {
    role = .client
    self.isDatagram = isDatagram
    if isDatagram {
      unsafe handle = try unsafe Self.make(DTLS_client_method(), DTLS1_2_VERSION)
      _ = unsafe SSL_CTX_set_options(handle, copenssl_datagram_options())
    } else {
      unsafe handle = try unsafe Self.make(TLS_client_method(), minimumVersion.number)
    }
    _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_SET_SESS_CACHE_MODE, Int(SSL_SESS_CACHE_OFF), nil)
    switch verification {
    case .system, .none: _ = unsafe SSL_CTX_set_default_verify_paths(handle)
    case .authorities(let source): try trust(source)
    }
    if case .none = verification {
      unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_NONE, PeerVerification.remember)
    } else {
      unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_PEER, PeerVerification.remember)
    }
    ErrorQueue.clear()
  }

  deinit { unsafe SSL_CTX_free(handle) }

  /// The chain of certificates that a client may present, in bytes.
  private static let maximumClientChainBytes = 32 << 10

  private static func make(
    _ method: OpaquePointer?, _ minimumVersion: CInt
  ) throws(CertificateError) -> OpaquePointer {
    ErrorQueue.clear()
    guard let handle = unsafe SSL_CTX_new(method) else {
      throw .library(reason: ErrorQueue.drain() ?? "out of memory")
    }
    _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(minimumVersion), nil)
    _ = unsafe SSL_CTX_set_options(handle, copenssl_options())
    // An idle connection gives its record buffers back; a busy one takes many records from one chunk.
    _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_MODE, Int(SSL_MODE_RELEASE_BUFFERS), nil)
    _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_SET_READ_AHEAD, 1, nil)
    return unsafe handle
  }

  private func use(_ files: CertificateFiles) throws(CertificateError) {
    let handle = unsafe handle
    try unsafe PEM.eachCertificate(in: files.chain) { certificate, index throws(CertificateError) in
      let isUsed =
        if index == 0 {
          unsafe SSL_CTX_use_certificate(handle, certificate) == 1
        } else {
          // CHAIN_CERT with 1 takes a reference of its own.
          unsafe SSL_CTX_ctrl(handle, SSL_CTRL_CHAIN_CERT, 1, UnsafeMutableRawPointer(certificate)) == 1
        }
      guard isUsed else {
        throw .unusable(file: files.chain.name, reason: ErrorQueue.drain() ?? "unknown")
      }
    }
    let key = try unsafe PEM.privateKey(in: files.key)
    defer { unsafe EVP_PKEY_free(key) }
    guard unsafe SSL_CTX_use_PrivateKey(handle, key) == 1 else {
      // The files may have changed since they were checked.
      ErrorQueue.clear()
      throw .keyMismatch(chain: files.chain.name, key: files.key.name)
    }
  }

  private func trust(_ source: PEMSource) throws(CertificateError) {
    let store = unsafe SSL_CTX_get_cert_store(handle)
    try unsafe PEM.eachCertificate(in: source) { certificate, _ in
      _ = unsafe X509_STORE_add_cert(store, certificate)
    }
  }
}
