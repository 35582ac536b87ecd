internal import Configuration
internal import Credentials
internal import CredentialsSQLite
internal import Crypto
internal import Metrics
internal import NetIO
internal import NetworkTypes
internal import TLS
internal import TURN

/// What the server keeps in files: its certificate, the credential store, the generated first user.
extension Server {
  /// A path in the state directory; nil where there is none that can be written.
  func statePath(_ name: String) -> String? { stateDirectory.map { "\($0)/\(name)" } }

  static let firstUserName = "turnpike"

  /// The password of the generated user: the one of the last such start, so that the printed line stays the same.
  func readOrMakeFirstUser() throws(StartFailure) -> FirstUser {
    if let path = statePath("first-user"), let content = try? Files.read(path, limit: 4096) {
      let password = String(decoding: content.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
      if !password.isEmpty { return FirstUser(name: Self.firstUserName, password: password) }
    }
    // 144 bits, in letters that survive a URL, a shell and a double click.
    let text = Base64.encode(SecureRandom.bytes(18)).map { $0 == "+" ? "A" : $0 == "/" ? "B" : $0 }
    let user = FirstUser(name: Self.firstUserName, password: String(text))
    if let path = statePath("first-user") {
      do throws(FileError) { try Files.writeAtomically(Array((user.password + "\n").utf8), to: path) } catch {
        throw .failed("cannot write \(path): \(error)")
      }
    }
    return user
  }

  struct FirstUser {
    var name: String
    var password: String
  }

  /// The line to paste into a page, for a start that made its own user.
  func iceServersLine() -> String? {
    guard let firstUser else { return nil }
    let listeners = state.listeners.map { Settings.Listener(transport: $0.transport, address: $0.address) }
    return IceServers.json(
      urls: IceServers.urls(listeners: listeners, reachableAddresses: state.relayed.entries.map(\.advertised)),
      username: firstUser.name, credential: firstUser.password)
  }

  // MARK: - Certificates

  /// The contexts that shards serve TLS and DTLS with, one set for each, so that threads seldom count references to one
  /// and the same;
  /// none where no listener wants them and no certificate is named.
  func makeSecureContexts(_ count: Int) throws(StartFailure) -> [SecureContexts] {
    let names = settings.tls
    let isNamed = !names.certificate.isEmpty || !names.privateKey.isEmpty
    guard isNamed || state.listeners.contains(where: \.transport.isSecure) else { return [] }
    if isNamed, names.certificate.isEmpty || names.privateKey.isEmpty {
      throw .misconfigured("`tls.certificate` and `tls.private-key` go together: one of them is empty")
    }
    // OpenSSL has no DTLS 1.3.
    let allowsDatagrams = names.minimumVersion != .tls13
    if !allowsDatagrams, settings.listeners?.contains(where: { $0.transport == .dtls }) == true {
      throw .misconfigured(
        "`tls.minimum-version` is 1.3, and a listener wants DTLS, which has 1.2 at most: remove the listener, or say 1.2")
    }
    let now = Int64(clamping: Now.read().wallSeconds)
    do throws(CertificateError) {
      let files: CertificateFiles
      if isNamed {
        files = try CertificateFiles(chain: .path(names.certificate), key: .path(names.privateKey))
      } else {
        files = try selfSigned()
        log.warning(
          "certificate-self-signed", ("effect", "browsers refuse turns: until they trust it"),
          ("remedy", "set tls.certificate and tls.private-key"))
      }
      if let problem = files.leaf.validityError(now: now, file: files.chain.name) {
        log.error("certificate-invalid", ("error", "\(problem)"))
      }
      var contexts: [SecureContexts] = []
      for _ in 0..<count {
        // The tickets' keys are the same: a session is resumed on any shard.
        let stream = try TLSContext(
          server: files, minimumVersion: names.minimumVersion == .tls13 ? .tls13 : .tls12, ticketKeys: ticketKeys)
        let datagram = allowsDatagrams ? try TLSContext(server: files, isDatagram: true, ticketKeys: ticketKeys) : nil
        contexts.append(SecureContexts(stream: stream, datagram: datagram))
      }
      return contexts
    } catch {
      throw StartFailure.failed("\(error)")
    }
  }

  /// The pair that signs itself, from the state directory, made where there is none yet.
  private func selfSigned() throws(CertificateError) -> CertificateFiles {
    if let certificate = statePath("self-signed.pem"), let key = statePath("self-signed-key.pem"),
      Files.exists(certificate), Files.exists(key)
    {
      do throws(CertificateError) {
        let files = try CertificateFiles(chain: .path(certificate), key: .path(key))
        let now = Int64(clamping: Now.read().wallSeconds)
        if files.leaf.validityError(now: now, file: certificate) == nil { return files }
      } catch {
        log.warning("self-signed-unusable", ("error", "\(error)"), ("effect", "a new one is made"))
      }
    }
    let addresses = Set(state.relayed.entries.map(\.advertised) + Interfaces.addresses() + [.ipv4Loopback, .ipv6Loopback])
    let hostName = Interfaces.hostName
    let made = try SelfSignedCertificate(
      commonName: "turnpike", hostNames: hostName == "localhost" ? [hostName] : ["localhost", hostName],
      addresses: addresses.sorted(), now: Int64(clamping: Now.read().wallSeconds))
    if let certificate = statePath("self-signed.pem"), let key = statePath("self-signed-key.pem") {
      do throws(FileError) {
        try Files.writeAtomically(made.key, to: key)
        try Files.writeAtomically(made.certificate, to: certificate, mode: 0o644)
      } catch {
        log.warning("self-signed-not-kept", ("error", "\(error)"), ("effect", "the next start makes another"))
      }
    }
    return try CertificateFiles(
      chain: .bytes(made.certificate, name: "the self-signed certificate"),
      key: .bytes(made.key, name: "its private key"))
  }

  /// What the named certificate and key hold now, to notice when they change.
  func certificateContent() -> [UInt8] {
    guard !settings.tls.certificate.isEmpty else { return [] }
    let chain = (try? Files.read(settings.tls.certificate)) ?? []
    let key = (try? Files.read(settings.tls.privateKey)) ?? []
    var context = HashContext(.sha256)
    return context.hash((chain + key).span.rawBytes).array
  }
}
