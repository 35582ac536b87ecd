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
