internal import NetworkTypes

/// Classifies a DTLS client's datagram before the end of the handshake (RFC 6347 sections 4.1 and 4.2.2). OpenSSL
/// reserves memory for the whole message of each fragment, up to ten messages ahead.
enum HandshakeFragments: Equatable {
  /// Unencrypted records with messages that a client needs.
  case plain
  /// Such records, and an encrypted one.
  case encrypted
  /// A message that is too long or too far ahead, or bytes that are no record.
  case excessive

  /// Limit of a message: a ClientHello with every extension has less than 1 KiB, a ClientKeyExchange less than 600
  /// bytes.
  static let longestMessage = 2 << 10
  /// The last message number before encryption: ClientHello is 0, the one with the cookie 1, ClientKeyExchange 2;
  /// Finished (3) is encrypted.
  static let lastSequenceNumber = 2
  /// Limit of a message if we request a certificate: a chain of three RSA certificates has about 5 KiB.
  static let longestCertificate = 8 << 10
  /// The last message number if we request a certificate: Certificate is 2, ClientKeyExchange 3, CertificateVerify 4.
  static let lastNumberWithCertificate = 4

  /// - Parameter hasCertificate: whether the server requests a certificate.
  init(_ datagram: RawSpan, hasCertificate: Bool = false) {
    var isEncrypted = false
    var offset = 0
    while offset < datagram.byteCount {
      guard offset + 13 <= datagram.byteCount else {
        self = .excessive
        return
      }
      let kind = datagram.byte(at: offset)
      let epoch = datagram.bigEndian16(at: offset + 3)
      let end = offset + 13 + Int(datagram.bigEndian16(at: offset + 11))
      guard end <= datagram.byteCount else {
        self = .excessive
        return
      }
      if epoch > 0 {
        isEncrypted = true
      } else if kind == 22, !Self.areShort(datagram.extracting((offset + 13)..<end), hasCertificate) {
        self = .excessive
        return
      }
      offset = end
    }
    self = isEncrypted ? .encrypted : .plain
  }

  /// Whether every fragment of a record belongs to a message of a sensible length and number.
  private static func areShort(_ fragments: RawSpan, _ hasCertificate: Bool) -> Bool {
    let longest = hasCertificate ? longestCertificate : longestMessage
    let last = hasCertificate ? lastNumberWithCertificate : lastSequenceNumber
    var offset = 0
    while offset < fragments.byteCount {
      guard offset + 12 <= fragments.byteCount else { return false }
      let length = Int(fragments.byte(at: offset + 1)) << 16 | Int(fragments.bigEndian16(at: offset + 2))
      let number = Int(fragments.bigEndian16(at: offset + 4))
      let part = Int(fragments.byte(at: offset + 9)) << 16 | Int(fragments.bigEndian16(at: offset + 10))
      guard length <= longest, number <= last, part <= length else { return false }
      offset += 12 + part
    }
    return offset == fragments.byteCount
  }
}
