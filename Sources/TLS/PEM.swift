internal import COpenSSL
public import NetworkTypes
internal import System

/// The source of PEM text, with a name for error messages.
public enum PEMSource: Hashable, Sendable {
  case path(String)
  /// Text in memory, with its name.
  case bytes([UInt8], name: String)

  /// The name in error messages.
  public var name: String {
    switch self {
    case .path(let path): path
    case .bytes(_, let name): name
    }
  }
}

/// The fault of a certificate or key file, with the file's name.
public enum CertificateError: Error, Hashable, Sendable, CustomStringConvertible {
  case unreadable(file: String, reason: String)
  /// No PEM block of the `wanted` kind (`"CERTIFICATE"`, `"PRIVATE KEY"`); `found` is the existing kind, if any.
  case notPEM(file: String, wanted: String, found: String?)
  /// A PEM block with unreadable content.
  case malformed(file: String, reason: String)
  case encryptedKey(file: String)
  case keyMismatch(chain: String, key: String)
  /// OpenSSL refuses to use the file's content (a key too small for its security level, a wrong purpose).
  case unusable(file: String, reason: String)
  case expired(file: String, notAfter: UnixTime)
  case notYetValid(file: String, notBefore: UnixTime)
  /// A name that is impossible in a certificate.
  case invalidName(String)
  case library(reason: String)

  /// The faulty file, as its source names it; nil if no file is at fault.
  public var file: String? {
    switch self {
    case .unreadable(let file, _), .notPEM(let file, _, _), .malformed(let file, _), .encryptedKey(let file),
      .unusable(let file, _), .expired(let file, _), .notYetValid(let file, _), .keyMismatch(_, let file):
      file
    case .invalidName, .library: nil
    }
  }

  public var description: String {
    switch self {
    case .unreadable(let file, let reason): "\(file): can't be read: \(reason)"
    case .notPEM(let file, let wanted, nil): "\(file): not PEM: there is no line -----BEGIN \(wanted)-----"
    case .notPEM(let file, let wanted, let found?): "\(file): holds a \(found), not a \(wanted)"
    case .malformed(let file, let reason): "\(file): PEM, but its content can't be read: \(reason)"
    case .encryptedKey(let file): "\(file): the private key is encrypted; a key without passphrase is needed"
    case .keyMismatch(let chain, let key): "\(key): does not belong to the first certificate of \(chain)"
    case .unusable(let file, let reason): "\(file): OpenSSL refuses it: \(reason)"
    case .expired(let file, let notAfter): "\(file): expired on \(CivilTime.readableText(notAfter))"
    case .notYetValid(let file, let notBefore):
      "\(file): not valid before \(CivilTime.readableText(notBefore))"
    case .invalidName(let name): "\"\(name)\" is no host name that a certificate can hold"
    case .library(let reason): "OpenSSL failed: \(reason)"
    }
  }
}

/// Reads PEM into OpenSSL's objects, which the caller owns.
enum PEM {
  /// Limit of bytes from one source: chains have a few KiB, CA bundles some hundred.
  static let sizeLimit = 4 << 20
  /// Limit of certificates from one source.
  static let countLimit = 10_000

  static func open(_ source: PEMSource) throws(CertificateError) -> OpaquePointer {
    OpenSSLErrors.clear()
    let bio: OpaquePointer?
    switch source {
    case .path(let path): unsafe bio = unsafe BIO_new_file(path, "r")
    case .bytes(let bytes, _):
      guard bytes.count <= sizeLimit else { throw .unreadable(file: source.name, reason: "too large") }
      // The BIO gets a copy, because the array's storage may end before the BIO.
      let made = unsafe BIO_new(BIO_s_mem())
      if let made = unsafe made { _ = unsafe BIO_write(made, bytes, CInt(bytes.count)) }
      unsafe bio = unsafe made
    }
    guard let bio = unsafe bio else {
      throw .unreadable(file: source.name, reason: OpenSSLErrors.drain() ?? "out of memory")
    }
    return unsafe bio
  }

  /// Calls `body` with every certificate, which it borrows. Throws if there is none.
  static func eachCertificate(
    in source: PEMSource, _ body: (_ certificate: OpaquePointer, _ index: Int) throws(CertificateError) -> Void
  ) throws(CertificateError) {
    let bio = try unsafe open(source)
    defer { unsafe BIO_free_all(bio) }
    var index = 0
    while index < countLimit, let certificate = unsafe PEM_read_bio_X509(bio, nil, noPassphrase, nil) {
      defer { unsafe X509_free(certificate) }
      try unsafe body(certificate, index)
      index += 1
    }
    // The end of the file is an error too ("no start line"), and after at least one certificate the expected one.
    let isEnd = isNoStartLine(ERR_peek_last_error())
    let reason = OpenSSLErrors.drain() ?? "unknown"
    if !isEnd { throw .malformed(file: source.name, reason: reason) }
    if index == 0 {
      throw .notPEM(file: source.name, wanted: "CERTIFICATE", found: try firstBlock(in: source)?.name)
    }
  }

  static func privateKey(in source: PEMSource) throws(CertificateError) -> OpaquePointer {
    let bio = try unsafe open(source)
    defer { unsafe BIO_free_all(bio) }
    if let key = unsafe PEM_read_bio_PrivateKey(bio, nil, noPassphrase, nil) {
      OpenSSLErrors.clear()
      return unsafe key
    }
    // OpenSSL's decoders report "unsupported" for all these cases; the kind of block tells which it is.
    let reason = OpenSSLErrors.drain() ?? "unknown"
    let block = try firstBlock(in: source)
    let found = block?.name
    if found == "ENCRYPTED PRIVATE KEY" || block?.isEncrypted == true || reason.contains("password") {
      throw .encryptedKey(file: source.name)
    }
    if found?.hasSuffix("PRIVATE KEY") == true { throw .malformed(file: source.name, reason: reason) }
    throw .notPEM(file: source.name, wanted: "PRIVATE KEY", found: found)
  }

  private static func isNoStartLine(_ code: UInt) -> Bool {
    code == 0 || (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE)
  }

  /// The kind of the first PEM block ("CERTIFICATE"), and whether its header says that it is encrypted in OpenSSL's
  /// format before PKCS #8 (RFC 1421 section 4.6.1.1); nil if there is no block.
  private static func firstBlock(
    in source: PEMSource
  ) throws(CertificateError) -> (name: String, isEncrypted: Bool)? {
    let bio = try unsafe open(source)
    defer {
      unsafe BIO_free_all(bio)
      OpenSSLErrors.clear()
    }
    var name: UnsafeMutablePointer<CChar>?
    var header: UnsafeMutablePointer<CChar>?
    var data: UnsafeMutablePointer<UInt8>?
    var length = 0
    guard unsafe PEM_read_bio(bio, &name, &header, &data, &length) == 1 else { return nil }
    defer {
      unsafe CRYPTO_free(name, nil, 0)
      unsafe CRYPTO_free(header, nil, 0)
      unsafe CRYPTO_clear_free(data, length, nil, 0)
    }
    guard let name = unsafe name else { return nil }
    let fields = unsafe header.map { unsafe String(cString: $0) } ?? ""
    return (unsafe String(cString: name), fields.contains("ENCRYPTED"))
  }
}

/// Answers OpenSSL's request for a passphrase with "none"; by default OpenSSL would ask on the terminal.
private let noPassphrase: @convention(c) (UnsafeMutablePointer<CChar>?, CInt, CInt, UnsafeMutableRawPointer?) -> CInt =
  { _, _, _, _ in -1 }
