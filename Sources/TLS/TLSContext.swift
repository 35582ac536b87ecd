internal import COpenSSL

/// The common settings of connections: certificate or authorities, versions, session tickets. Making a context takes
/// milliseconds, a connection from it microseconds.
///
/// When certificates change, a new context replaces it; connections keep their old context alive.
// @unchecked: OpenSSL counts references to an SSL_CTX atomically, and nothing changes it after `init`.
@safe
public final class TLSContext: @unchecked Sendable {
  /// The side of a connection.
  public enum Role: Sendable {
    case client
    case server
  }

  /// The side of this context's connections.
  public let role: Role
  /// Whether the context is for DTLS (RFC 6347, RFC 7350) and its `DTLSEngine`, not for TLS.
  public let isDatagram: Bool
  /// Whether clients must present a certificate.
  public let requiresClientCertificate: Bool
  let handle: OpaquePointer
  /// The contexts of further certificates, and the names that choose them.
  private let others: [TLSContext]
  private let names: CertificateNames

  /// The keys that encrypt session tickets. Contexts that share them (one for each thread, or before and after a change
  /// of certificate) resume each other's sessions.
  public struct TicketKeys: Sendable {
    let bytes: [UInt8]

    /// New random keys.
    public init() {
      var bytes = [UInt8](repeating: 0, count: 80)
      // OpenSSL draws its own ticket keys from the same generator.
      let status = unsafe RAND_priv_bytes(&bytes, CInt(bytes.count))
      precondition(status == 1, "OpenSSL cannot get random bytes from the kernel")
      self.bytes = bytes
    }
  }

  /// A server's context. With `clientAuthorities`, clients must present a certificate that one of them issued.
  ///
  /// A client that requests a DNS name of one of the certificates `others` gets that certificate. A session can be
  /// resumed only with the certificate of its handshake.
  ///
  /// DTLS always has version 1.2, and ignores `minimumVersion`: OpenSSL has no DTLS 1.3.
  public init(
    server files: CertificateFiles, others: [CertificateFiles] = [], minimumVersion: TLSVersion = .tls12,
    isDatagram: Bool = false, ticketKeys: TicketKeys? = nil, clientAuthorities: PEMSource? = nil
  ) throws(CertificateError) {
    role = .server
    self.isDatagram = isDatagram
    requiresClientCertificate = clientAuthorities != nil
    var names = CertificateNames()
    names.add(files.leaf.dnsNames, index: 0)
    var contexts: [TLSContext] = []
    for (index, other) in others.enumerated() {
      names.add(other.leaf.dnsNames, index: index + 1)
      contexts.append(
        try TLSContext(
          server: other, minimumVersion: minimumVersion, isDatagram: isDatagram, ticketKeys: ticketKeys,
          clientAuthorities: clientAuthorities))
    }
    self.names = names
    self.others = contexts
    if isDatagram {
      unsafe handle = try unsafe Self.make(DTLS_server_method(), DTLS1_2_VERSION)
      _ = unsafe SSL_CTX_set_options(handle, copenssl_datagram_options())
      unsafe HelloCookie.install(on: handle)
    } else {
      unsafe handle = try unsafe Self.make(TLS_server_method(), minimumVersion.number)
    }
    // TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 is mandatory (RFC 8489 section 6.2.3, RFC 7350 section 3) and needs a group.
    _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_SET_DH_AUTO, 1, nil)
    try use(files)
    // TLS 1.2 uses only cipher suites with forward secrecy and authenticated encryption (RFC 9325 section 4.2).
    _ = unsafe SSL_CTX_set_cipher_list(handle, "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20")
    keepSessionsInTickets(ticketKeys, of: files)
    unsafe ApplicationProtocol.choose(on: handle)
    if let clientAuthorities {
      try trust(clientAuthorities)
      try name(clientAuthorities)
      unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
    }
    // Limits the certificates that a client may send in its handshake. Without authorities no certificate is requested.
    let chainBytes = clientAuthorities == nil ? 1 << 10 : Self.maximumClientChainBytes
    _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_SET_MAX_CERT_LIST, chainBytes, nil)
    unsafe MessageCount.install(on: handle)
    if !self.others.isEmpty { ServerNameChoice.install(on: self) }
    OpenSSLErrors.clear()
  }

  /// Sessions are kept in the clients' tickets only; one ticket for each handshake is enough.
  private func keepSessionsInTickets(_ ticketKeys: TicketKeys?, of files: CertificateFiles) {
    if let ticketKeys {
      var bytes = ticketKeys.bytes
      _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, bytes.count, &bytes)
    }
    _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_SET_SESS_CACHE_MODE, Int(SSL_SESS_CACHE_OFF), nil)
    _ = unsafe SSL_CTX_set_num_tickets(handle, 1)
    // Each certificate has its own sessions; their session ID context has at most 32 bytes.
    let sessions = Array(files.leaf.fingerprint.utf8.prefix(32))
    _ = unsafe SSL_CTX_set_session_id_context(handle, sessions, UInt32(sessions.count))
  }

  /// The context of the certificate for a server name; nil if it is this context.
  func context(for name: String) -> TLSContext? {
    guard let index = names.index(for: name), index > 0 else { return nil }
    return others[index - 1]
  }

  /// The authorities that a client trusts.
  public enum Verification: Sendable {
    /// The authorities of the system.
    case system
    /// The authorities of a PEM file only.
    case authorities(PEMSource)
    /// No verification is required; its verdict can still be read afterwards.
    case none
  }

  /// A client's context. A server that requests a certificate gets `certificate`.
  public init(
    client verification: Verification, certificate: CertificateFiles? = nil, minimumVersion: TLSVersion = .tls12,
    isDatagram: Bool = false
  ) throws(CertificateError) {
    role = .client
    self.isDatagram = isDatagram
    requiresClientCertificate = false
    others = []
    names = CertificateNames()
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
    if let certificate { try use(certificate) }
    if case .none = verification {
      unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_NONE, PeerVerification.remember)
    } else {
      unsafe SSL_CTX_set_verify(handle, SSL_VERIFY_PEER, PeerVerification.remember)
    }
    OpenSSLErrors.clear()
  }

  deinit { unsafe SSL_CTX_free(handle) }

  /// Limit of a client's certificate chain, in bytes.
  private static let maximumClientChainBytes = 32 << 10

  private static func make(
    _ method: OpaquePointer?, _ minimumVersion: CInt
  ) throws(CertificateError) -> OpaquePointer {
    OpenSSLErrors.clear()
    guard let handle = unsafe SSL_CTX_new(method) else {
      throw .library(reason: OpenSSLErrors.drain() ?? "out of memory")
    }
    _ = unsafe SSL_CTX_ctrl(handle, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(minimumVersion), nil)
    _ = unsafe SSL_CTX_set_options(handle, copenssl_options())
    // An idle connection releases its record buffers; a busy one reads many records at once.
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
          // SSL_CTRL_CHAIN_CERT with 1 adds its own reference.
          unsafe SSL_CTX_ctrl(handle, SSL_CTRL_CHAIN_CERT, 1, UnsafeMutableRawPointer(certificate)) == 1
        }
      guard isUsed else {
        throw .unusable(file: files.chain.name, reason: OpenSSLErrors.drain() ?? "unknown")
      }
    }
    let key = try unsafe PEM.privateKey(in: files.key)
    defer { unsafe EVP_PKEY_free(key) }
    guard unsafe SSL_CTX_use_PrivateKey(handle, key) == 1 else {
      // The files may have changed since the check.
      OpenSSLErrors.clear()
      throw .keyMismatch(chain: files.chain.name, key: files.key.name)
    }
  }

  /// Limit of authorities whose names a server sends to clients; beyond it none is sent.
  private static let namedAuthorityLimit = 64

  /// Sends the authorities' names to clients, so that a client with several certificates can choose.
  private func name(_ source: PEMSource) throws(CertificateError) {
    let handle = unsafe handle
    var count = 0
    try unsafe PEM.eachCertificate(in: source) { _, _ in count += 1 }
    guard count <= Self.namedAuthorityLimit else { return }
    try unsafe PEM.eachCertificate(in: source) { certificate, _ in _ = unsafe SSL_CTX_add_client_CA(handle, certificate)
    }
  }

  private func trust(_ source: PEMSource) throws(CertificateError) {
    let store = unsafe SSL_CTX_get_cert_store(handle)
    try unsafe PEM.eachCertificate(in: source) { certificate, _ in
      _ = unsafe X509_STORE_add_cert(store, certificate)
    }
  }
}
