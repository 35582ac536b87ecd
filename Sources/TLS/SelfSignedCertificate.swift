internal import COpenSSL
public import NetworkTypes

/// A certificate that signs itself, with its key: a server uses it until it gets a real one.
public struct SelfSignedCertificate: Sendable {
  /// PEM of the one certificate.
  public let certificate: [UInt8]
  /// PEM (PKCS #8) of its private key.
  public let key: [UInt8]

  /// The validity: ten years.
  public static let lifetime = Duration.seconds(10 * 365 * 86_400 + 2 * 86_400)

  /// Makes a P-256 key and a certificate for the host names and addresses given, valid from a day before `now`, because
  /// clocks differ, for ten years.
  public init(
    commonName: String, hostNames: [String], addresses: [IPAddress], now: UnixTime
  ) throws(CertificateError) {
    for name in hostNames where !Self.isHostName(name) { throw .invalidName(name) }
    OpenSSLErrors.clear()
    guard let key = unsafe Self.makeKey(), let certificate = unsafe X509_new() else { throw Self.libraryError() }
    defer {
      unsafe EVP_PKEY_free(key)
      unsafe X509_free(certificate)
    }
    let names = hostNames.map { "DNS:\($0)" } + addresses.map { "IP:\($0)" }
    let isSigned =
      unsafe Self.fill(certificate, commonName: commonName, now: now)
      && X509_set_pubkey(certificate, key) == 1
      && Self.add(NID_basic_constraints, "critical,CA:FALSE", to: certificate)
      && Self.add(NID_key_usage, "critical,digitalSignature", to: certificate)
      && Self.add(NID_ext_key_usage, "serverAuth", to: certificate)
      && (names.isEmpty || Self.add(NID_subject_alt_name, names.joined(separator: ","), to: certificate))
      && X509_sign(certificate, key, EVP_sha256()) > 0
    guard isSigned else { throw Self.libraryError() }
    self.certificate = try unsafe Self.text { unsafe PEM_write_bio_X509($0, certificate) }
    self.key = try unsafe Self.text { unsafe PEM_write_bio_PKCS8PrivateKey($0, key, nil, nil, 0, nil, nil) }
  }

  /// Allows letters, digits, dots, dashes, underscores and a leading `*.`: no character that has a meaning in OpenSSL's
  /// notation of names.
  static func isHostName(_ name: String) -> Bool {
    let rest = name.hasPrefix("*.") ? name.dropFirst(2) : name[...]
    return (1...253).contains(rest.utf8.count)
      && rest.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
      }
  }

  private static func libraryError() -> CertificateError { .library(reason: OpenSSLErrors.drain() ?? "unknown error") }

  private static func makeKey() -> OpaquePointer? {
    guard let context = unsafe EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nil) else { return nil }
    defer { unsafe EVP_PKEY_CTX_free(context) }
    var key: OpaquePointer?
    guard unsafe EVP_PKEY_keygen_init(context) == 1,
      unsafe EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) == 1,
      unsafe EVP_PKEY_keygen(context, &key) == 1
    else { return nil }
    return unsafe key
  }

  private static func fill(_ certificate: OpaquePointer, commonName: String, now: UnixTime) -> Bool {
    // Version 3 is written 2. Browsers require different serial numbers from one issuer: 127 random bits.
    guard unsafe X509_set_version(certificate, 2) == 1, let serial = unsafe BN_new() else { return false }
    defer { unsafe BN_free(serial) }
    // A common name has at most 64 characters (RFC 5280); clients check the names in the extension.
    let name = Array(commonName.utf8.prefix(64))
    return unsafe BN_rand(serial, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1
      && BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate)) != nil
      && ASN1_TIME_set(X509_getm_notBefore(certificate), Int(now.seconds - 86_400)) != nil
      && ASN1_TIME_set(X509_getm_notAfter(certificate), Int(now.advanced(by: lifetime).seconds)) != nil
      && X509_NAME_add_entry_by_txt(
        X509_get_subject_name(certificate), "CN", MBSTRING_FLAG | 0, name, CInt(name.count), -1, 0) == 1
      && X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1
  }

  private static func add(_ extensionType: CInt, _ value: String, to certificate: OpaquePointer) -> Bool {
    guard let made = unsafe X509V3_EXT_conf_nid(nil, nil, extensionType, value) else { return false }
    defer { unsafe X509_EXTENSION_free(made) }
    return unsafe X509_add_ext(certificate, made, -1) == 1
  }

  private static func text(_ write: (OpaquePointer) -> CInt) throws(CertificateError) -> [UInt8] {
    guard let bio = unsafe BIO_new(BIO_s_mem()) else { throw libraryError() }
    defer { unsafe BIO_free_all(bio) }
    guard unsafe write(bio) == 1 else { throw libraryError() }
    var bytes = [UInt8](repeating: 0, count: 1 << 16)
    let length = unsafe BIO_read(bio, &bytes, CInt(bytes.count))
    return Array(bytes.prefix(max(Int(length), 0)))
  }
}
