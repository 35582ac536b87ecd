internal import COpenSSL
public import NetworkTypes

/// The fields of a certificate that programs show.
public struct CertificateSummary: Hashable, Sendable {
  /// RFC 2253 text: `CN=turn.example.org,O=Example`.
  public var subject = ""
  /// The issuer's name, in the same form.
  public var issuer = ""
  /// The DNS names of the subjectAltName extension.
  public var dnsNames: [String] = []
  /// The IP addresses of the subjectAltName extension.
  public var addresses: [IPAddress] = []
  /// The beginning of the validity.
  public var notBefore = UnixTime.epoch
  /// The end of the validity.
  public var notAfter = UnixTime.epoch
  /// SHA-256 of the certificate in lower-case hexadecimal.
  public var fingerprint = ""

  public init() {}

  /// Reads the first certificate of a chain, without its key.
  public init(firstOf chain: PEMSource) throws(CertificateError) {
    var first: CertificateSummary?
    try unsafe PEM.eachCertificate(in: chain) { certificate, index throws(CertificateError) in
      if index == 0 { first = unsafe CertificateSummary(of: certificate) }
    }
    guard let first else { throw .notPEM(file: chain.name, wanted: "CERTIFICATE", found: nil) }
    self = first
  }

  /// Whether the certificate signs itself. Clients refuse it until they are configured to trust it.
  public var isSelfSigned: Bool { subject == issuer }

  /// Whole days until the certificate expires, rounded down; negative after its expiry.
  public func daysLeft(now: UnixTime) -> Int64 {
    let seconds = notAfter.duration(since: now).components.seconds
    return seconds >= 0 ? seconds / 86_400 : -((-seconds + 86_399) / 86_400)
  }

  /// The error if `now` is outside the validity; its text names the certificate `file`.
  public func validityError(now: UnixTime, file: String) -> CertificateError? {
    if now > notAfter { return .expired(file: file, notAfter: notAfter) }
    if now < notBefore { return .notYetValid(file: file, notBefore: notBefore) }
    return nil
  }
}

extension CertificateSummary {
  init(of certificate: OpaquePointer) {
    subject = unsafe Self.text(X509_get_subject_name(certificate))
    issuer = unsafe Self.text(X509_get_issuer_name(certificate))
    notBefore = unsafe Self.time(X509_get0_notBefore(certificate))
    notAfter = unsafe Self.time(X509_get0_notAfter(certificate))
    unsafe readAlternativeNames(of: certificate)
    var digest = [UInt8](repeating: 0, count: 32)
    var length: UInt32 = 0
    if unsafe X509_digest(certificate, EVP_sha256(), &digest, &length) == 1 {
      fingerprint = Hexadecimal.text(digest)
    }
    OpenSSLErrors.clear()
  }

  private static func text(_ name: OpaquePointer?) -> String {
    guard let name = unsafe name, let bio = unsafe BIO_new(BIO_s_mem()) else { return "" }
    defer { unsafe BIO_free_all(bio) }
    guard unsafe X509_NAME_print_ex(bio, name, 0, copenssl_name_flags()) >= 0 else { return "" }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let length = unsafe BIO_read(bio, &bytes, CInt(bytes.count))
    return String(decoding: bytes.prefix(max(Int(length), 0)), as: UTF8.self)
  }

  private static func time(_ time: UnsafePointer<ASN1_TIME>?) -> UnixTime {
    guard let time = unsafe time, let epoch = unsafe ASN1_TIME_set(nil, 0) else { return .epoch }
    defer { unsafe ASN1_STRING_free(epoch) }
    var days: CInt = 0
    var seconds: CInt = 0
    guard unsafe ASN1_TIME_diff(&days, &seconds, epoch, time) == 1 else { return .epoch }
    return UnixTime(seconds: Int64(days) * 86_400 + Int64(seconds))
  }

  private mutating func readAlternativeNames(of certificate: OpaquePointer) {
    guard let raw = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) else { return }
    let names = OpaquePointer(raw)
    defer { unsafe GENERAL_NAMES_free(names) }
    // Real certificates have fewer names; further ones are not shown.
    for index in 0..<min(unsafe OPENSSL_sk_num(names), 1000) {
      guard let entry = unsafe OPENSSL_sk_value(names, index) else { continue }
      var type: CInt = 0
      let value = unsafe GENERAL_NAME_get0_value(entry.assumingMemoryBound(to: GENERAL_NAME.self), &type)
      guard let value = unsafe value, type == GEN_DNS || type == GEN_IPADD else { continue }
      let bytes = unsafe Self.bytes(of: value.assumingMemoryBound(to: ASN1_STRING.self))
      if type == GEN_DNS {
        dnsNames.append(String(decoding: bytes, as: UTF8.self))
      } else if let address = IPAddress(networkOrder: bytes) {
        addresses.append(address)
      }
    }
  }

  private static func bytes(of string: UnsafePointer<ASN1_STRING>) -> [UInt8] {
    unsafe Array(UnsafeBufferPointer(start: ASN1_STRING_get0_data(string), count: Int(ASN1_STRING_length(string))))
  }
}

extension IPAddress {
  /// The address of 4 or 16 bytes, most significant first.
  init?(networkOrder bytes: [UInt8]) {
    let span = bytes.span.rawBytes
    switch bytes.count {
    case 4: self.init(ipv4: span.bigEndian32(at: 0))
    case 16: self.init(ipv6High: span.bigEndian64(at: 0), low: span.bigEndian64(at: 8))
    default: return nil
    }
  }
}
