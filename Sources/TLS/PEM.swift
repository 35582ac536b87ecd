internal import COpenSSL

/// Where PEM text comes from, with a name for error messages.
public enum PEMSource: Hashable, Sendable {
  case path(String)
  /// Text that is already in memory; the name says what it is.
  case bytes([UInt8], name: String)

  /// How errors call it.
  public var name: String {
    switch self {
    case .path(let path): path
    case .bytes(_, let name): name
    }
  }
}

/// What is wrong with a certificate or key that was given, in words that name the file.
public enum CertificateError: Error, Hashable, Sendable, CustomStringConvertible {
  case unreadable(file: String, reason: String)
  /// No PEM block of the kind wanted (`"CERTIFICATE"`, `"PRIVATE KEY"`); `found` is the kind that is there, if any.
  case notPEM(file: String, wanted: String, found: String?)
  /// There is a PEM block, but what is in it can't be read.
  case malformed(file: String, reason: String)
  case encryptedKey(file: String)
  case keyMismatch(chain: String, key: String)
  /// OpenSSL refuses to use it (a key too small for its security level, a wrong purpose).
  case unusable(file: String, reason: String)
  /// `notAfter` in seconds since 1970.
  case expired(file: String, notAfter: Int64)
  case notYetValid(file: String, notBefore: Int64)
  /// A name that can't stand in a certificate.
  case invalidName(String)
  case library(reason: String)

  public var description: String {
    switch self {
    case .unreadable(let file, let reason): "\(file): can't be read: \(reason)"
    case .notPEM(let file, let wanted, nil): "\(file): not PEM: there is no line -----BEGIN \(wanted)-----"
    case .notPEM(let file, let wanted, let found?): "\(file): holds a \(found), not a \(wanted)"
    case .malformed(let file, let reason): "\(file): PEM, but its content can't be read: \(reason)"
    case .encryptedKey(let file): "\(file): the private key is encrypted; a key without passphrase is needed"
    case .keyMismatch(let chain, let key): "\(key): does not belong to the first certificate of \(chain)"
    case .unusable(let file, let reason): "\(file): OpenSSL refuses it: \(reason)"
    case .expired(let file, let notAfter): "\(file): expired on \(CivilTime.text(unixSeconds: notAfter))"
    case .notYetValid(let file, let notBefore):
      "\(file): not valid before \(CivilTime.text(unixSeconds: notBefore))"
    case .invalidName(let name): "\"\(name)\" is no host name that a certificate can hold"
    case .library(let reason): "OpenSSL failed: \(reason)"
    }
  }
}

/// Reads PEM into OpenSSL's objects; the caller owns what is returned.
enum PEM {
  /// At most this many bytes are read from one source: chains are a few KiB, CA bundles some hundred.
  static let sizeLimit = 4 << 20
  /// At most this many certificates of one source are looked at.
  static let countLimit = 10_000

  static func open(_ source: PEMSource) throws(CertificateError) -> OpaquePointer {
    ErrorQueue.clear()
    let bio: OpaquePointer?
    switch source {
    case .path(let path): unsafe bio = unsafe BIO_new_file(path, "r")
    case .bytes(let bytes, _):
      guard bytes.count <= sizeLimit else { throw .unreadable(file: source.name, reason: "too large") }
      // A memory BIO of its own with a copy: the array's storage may go before the BIO does.
      let made = unsafe BIO_new(BIO_s_mem())
      if let made = unsafe made { _ = unsafe BIO_write(made, bytes, CInt(bytes.count)) }
      unsafe bio = unsafe made
    }
    guard let bio = unsafe bio else {
      throw .unreadable(file: source.name, reason: ErrorQueue.drain() ?? "out of memory")
    }
    return unsafe bio
  }

  /// Hands every certificate to `body`, which borrows it. At least one is there on return.
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
    let reason = ErrorQueue.drain() ?? "unknown"
    if !isEnd { throw .malformed(file: source.name, reason: reason) }
    if index == 0 {
      throw .notPEM(file: source.name, wanted: "CERTIFICATE", found: try firstBlockName(in: source))
    }
  }

  static func privateKey(in source: PEMSource) throws(CertificateError) -> OpaquePointer {
    let bio = try unsafe open(source)
    defer { unsafe BIO_free_all(bio) }
    if let key = unsafe PEM_read_bio_PrivateKey(bio, nil, noPassphrase, nil) {
      ErrorQueue.clear()
      return unsafe key
    }
    // OpenSSL's decoders say "unsupported" to all of these; which it is tells the kind of block.
    let reason = ErrorQueue.drain() ?? "unknown"
    let found = try firstBlockName(in: source)
    if found == "ENCRYPTED PRIVATE KEY" || reason.contains("password") { throw .encryptedKey(file: source.name) }
    if found?.hasSuffix("PRIVATE KEY") == true { throw .malformed(file: source.name, reason: reason) }
    throw .notPEM(file: source.name, wanted: "PRIVATE KEY", found: found)
  }

  private static func isNoStartLine(_ code: UInt) -> Bool {
    code == 0 || (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE)
  }

  /// The kind of the first PEM block ("CERTIFICATE"), nil where there is none.
  private static func firstBlockName(in source: PEMSource) throws(CertificateError) -> String? {
    let bio = try unsafe open(source)
    defer {
      unsafe BIO_free_all(bio)
      ErrorQueue.clear()
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
    return unsafe String(cString: name)
  }
}

/// Answers OpenSSL's question for a passphrase with "none", where its default would ask on the terminal.
private let noPassphrase: @convention(c) (UnsafeMutablePointer<CChar>?, CInt, CInt, UnsafeMutableRawPointer?) -> CInt =
  { _, _, _, _ in -1 }
