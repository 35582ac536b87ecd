internal import Configuration
internal import Crypto
internal import Log
internal import NetIO
internal import NetworkTypes
internal import System
internal import TLS

/// The source of the server's certificate and key: the configured pair, or a self-signed one in the state directory.
///
/// It is a value, because the thread that reads the files is not the thread that starts or reloads the server.
struct CertificateSource: Sendable {
  var settings: Settings.TLSSection
  /// Whether a certificate is needed even if none is configured.
  var isNeeded: Bool
  /// Nil if no state can be kept.
  var stateDirectory: String?
  /// The addresses in a self-signed certificate.
  var addresses: [IPAddress]
  var log: Log

  var isNamed: Bool { !settings.certificate.isEmpty }

  /// Whether any file is configured, which may change while the server runs.
  var hasFiles: Bool { !settings.files.isEmpty }

  /// Reads and checks the certificates; nil if none is needed. Replaces a missing or expired self-signed certificate.
  func load(_ read: FileContent) throws(CertificateError) -> ServerCertificates? {
    if isNamed { return try Self.certificates(settings, read) }
    guard isNeeded else { return nil }
    var certificates = ServerCertificates(standard: try selfSigned(read))
    certificates.clientAuthorities = try Self.clientAuthorities(settings, read)
    return certificates
  }

  /// The configured certificates and authorities, each file read once.
  static func certificates(_ settings: Settings.TLSSection, _ read: FileContent) throws(CertificateError)
    -> ServerCertificates
  {
    var certificates = ServerCertificates(standard: try pair(settings.certificate, settings.privateKey, read))
    for other in settings.certificates {
      certificates.others.append(try pair(other.certificate, other.privateKey, read))
    }
    certificates.clientAuthorities = try clientAuthorities(settings, read)
    return certificates
  }

  private static func clientAuthorities(_ settings: Settings.TLSSection, _ read: FileContent) throws(CertificateError)
    -> PEMSource?
  {
    settings.clientCA.isEmpty ? nil : try source(settings.clientCA, read)
  }

  /// The chain and the key of two files, each read once.
  static func pair(_ chain: String, _ key: String, _ read: FileContent) throws(CertificateError) -> CertificateFiles {
    try CertificateFiles(chain: try source(chain, read), key: try source(key, read))
  }

  private static func source(_ path: String, _ read: FileContent) throws(CertificateError) -> PEMSource {
    do throws(FileError) {
      return .bytes(try read(path), name: path)
    } catch {
      throw .unreadable(file: path, reason: Files.reason(error, of: path))
    }
  }

  /// A digest of the configured files' contents, or of the reason why they cannot be read: another digest means a
  /// change.
  func fingerprint(_ read: FileContent) -> [UInt8] {
    var contents: [UInt8] = []
    for path in settings.files {
      do throws(FileError) { contents += try read(path) } catch { contents += Array("\(error)".utf8) }
    }
    var context = HashContext(.sha256)
    return context.hash(contents.span.rawBytes).array
  }

  private func selfSigned(_ read: FileContent) throws(CertificateError) -> CertificateFiles {
    let now = Now.read().wall
    let kept = stateDirectory.map { (certificate: "\($0)/self-signed.pem", key: "\($0)/self-signed-key.pem") }
    if let kept, Files.exists(kept.certificate), Files.exists(kept.key) {
      do throws(CertificateError) {
        let files = try Self.pair(kept.certificate, kept.key, read)
        if files.leaf.validityError(now: now, file: kept.certificate) == nil { return files }
      } catch {
        log.warning("self-signed-unusable", ("error", "\(error)"), ("effect", "a new certificate is made"))
      }
    }
    let all = Set(addresses + Interfaces.addresses() + [.ipv4Loopback, .ipv6Loopback])
    let hostName = Interfaces.hostName
    let made = try SelfSignedCertificate(
      commonName: "turnpike", hostNames: hostName == "localhost" ? [hostName] : ["localhost", hostName],
      addresses: all.sorted(), now: now)
    if let kept {
      do throws(FileError) {
        try Files.writeAtomically(made.key, to: kept.key, isState: true)
        try Files.writeAtomically(made.certificate, to: kept.certificate, mode: 0o644, isState: true)
      } catch {
        log.warning(
          "self-signed-not-kept", ("error", .text(Files.explain(error, of: kept.certificate))),
          ("effect", "the next start makes another certificate"))
      }
    }
    return try CertificateFiles(
      chain: .bytes(made.certificate, name: "the self-signed certificate"),
      key: .bytes(made.key, name: "its private key"))
  }
}

/// A warning about a certificate that has expired or expires soon.
struct CertificateRemark {
  /// Whether clients already refuse it; otherwise it expires soon.
  var isInvalid: Bool
  var text: String

  /// The warning begins this many days before the expiry: most ACME clients renew a month before.
  static let warningDays: Int64 = 14

  /// Nil for a certificate that is valid long enough.
  init?(_ files: CertificateFiles, now: UnixTime) {
    if let error = files.leaf.validityError(now: now, file: files.chain.name) {
      self.init(isInvalid: true, text: "\(error)")
      return
    }
    let days = files.leaf.daysLeft(now: now)
    guard days <= Self.warningDays else { return nil }
    let span = days == 0 ? "within a day" : days == 1 ? "in 1 day" : "in \(days) days"
    self.init(
      isInvalid: false,
      text: "\(files.chain.name): expires \(span), on \(CivilTime.readableText(files.leaf.notAfter))")
  }

  private init(isInvalid: Bool, text: String) {
    self.isInvalid = isInvalid
    self.text = text
  }

  func write(to log: Log) {
    if isInvalid {
      log.error(
        "certificate-invalid", ("error", .text(text)), ("effect", "clients refuse TLS and DTLS"), ("remedy", "renew it")
      )
    } else {
      log.warning("certificate-ends-soon", ("certificate", .text(text)), ("remedy", "renew it"))
    }
  }
}
