internal import TLS

/// The server's certificates and the authorities of its clients, as they have been read from their files.
struct ServerCertificates: Sendable {
  /// The certificate for clients that request no name, or no name of `others`.
  var standard: CertificateFiles
  var others: [CertificateFiles] = []
  /// Nil: clients need no certificate.
  var clientAuthorities: PEMSource?

  var all: [CertificateFiles] { [standard] + others }

  func context(
    minimumVersion: TLSVersion = .tls12, isDatagram: Bool = false, ticketKeys: TLSContext.TicketKeys? = nil
  ) throws(CertificateError) -> TLSContext {
    try TLSContext(
      server: standard, others: others, minimumVersion: minimumVersion, isDatagram: isDatagram,
      ticketKeys: ticketKeys, clientAuthorities: clientAuthorities)
  }
}

/// The keys of session tickets. All contexts share them, so that a session can be resumed on another shard, and after a
/// reload.
struct SharedTicketKeys {
  /// The certificates of the sessions. A resumed session is not verified again, so the authorities belong to it.
  private struct Origin: Equatable {
    var fingerprints: [String]
    var clientAuthorities: PEMSource?
  }

  private var keys = TLSContext.TicketKeys()
  private var origin: Origin?
  /// Whether the next contexts get new keys in any case (RFC 7525 section 3.4).
  var areOld = false

  /// The keys for contexts of these certificates: new ones if a certificate or an authority has changed.
  mutating func keys(for files: ServerCertificates) -> TLSContext.TicketKeys {
    let next = Origin(fingerprints: files.all.map(\.leaf.fingerprint), clientAuthorities: files.clientAuthorities)
    if areOld || next != origin { keys = TLSContext.TicketKeys() }
    origin = next
    areOld = false
    return keys
  }
}
