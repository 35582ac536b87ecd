internal import COpenSSL

/// A certificate chain and its private key, read and checked before use.
public struct CertificateFiles: Sendable {
  /// The source of the certificate chain.
  public let chain: PEMSource
  /// The source of the private key.
  public let key: PEMSource
  /// The server's own certificate, the first of the chain.
  public let leaf: CertificateSummary
  /// The number of certificates in the chain, the leaf included.
  public let chainLength: Int
  /// The bits of an RSA key; nil for keys of other kinds.
  public let rsaBits: Int?

  /// Reads chain and key, and checks that the key belongs to the chain's first certificate. An expired certificate is
  /// no error here, because the server can still start with it: see `leaf.validityError`.
  public init(chain: PEMSource, key: PEMSource) throws(CertificateError) {
    var leaf: CertificateSummary?
    var count = 0
    let privateKey = try unsafe PEM.privateKey(in: key)
    defer { unsafe EVP_PKEY_free(privateKey) }
    try unsafe PEM.eachCertificate(in: chain) { certificate, index throws(CertificateError) in
      count += 1
      guard index == 0 else { return }
      guard unsafe X509_check_private_key(certificate, privateKey) == 1 else {
        OpenSSLErrors.clear()
        throw .keyMismatch(chain: chain.name, key: key.name)
      }
      leaf = unsafe CertificateSummary(of: certificate)
    }
    self.chain = chain
    self.key = key
    self.leaf = leaf ?? CertificateSummary()
    chainLength = count
    let isRSA = unsafe EVP_PKEY_get_base_id(privateKey) == EVP_PKEY_RSA
    rsaBits = isRSA ? Int(unsafe EVP_PKEY_get_bits(privateKey)) : nil
  }
}
