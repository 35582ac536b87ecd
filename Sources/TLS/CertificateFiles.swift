internal import COpenSSL

/// A certificate chain and its private key, read and checked before anything relies on them.
public struct CertificateFiles: Sendable {
  public let chain: PEMSource
  public let key: PEMSource
  /// The server's own certificate, the first of the chain.
  public let leaf: CertificateSummary
  /// How many certificates the chain has, the leaf included.
  public let chainLength: Int

  /// Reads both and checks that the key belongs to the chain's first certificate. An expired certificate is no
  /// error here, since refusing to start would help nobody: ask `leaf.validityError`.
  public init(chain: PEMSource, key: PEMSource) throws(CertificateError) {
    var leaf: CertificateSummary?
    var count = 0
    let privateKey = try unsafe PEM.privateKey(in: key)
    defer { unsafe EVP_PKEY_free(privateKey) }
    try unsafe PEM.eachCertificate(in: chain) { certificate, index throws(CertificateError) in
      count += 1
      guard index == 0 else { return }
      guard unsafe X509_check_private_key(certificate, privateKey) == 1 else {
        ErrorQueue.clear()
        throw .keyMismatch(chain: chain.name, key: key.name)
      }
      leaf = unsafe CertificateSummary(of: certificate)
    }
    self.chain = chain
    self.key = key
    self.leaf = leaf ?? CertificateSummary()
    chainLength = count
  }
}
