internal import Configuration
internal import Credentials
internal import CredentialsSQLite
internal import Crypto
internal import Log
internal import NetworkTypes
internal import System
internal import TLS
internal import TURN

/// The server's files: its certificate, the credential store, the generated first user.
extension Server {
  /// A path in the state directory; nil without a writable one.
  func statePath(_ name: String) -> String? { stateDirectory.path.map { "\($0)/\(name)" } }

  /// The configuration for a web page; nil if this start prints no generated user.
  func firstIceServers() -> IceServers? {
    guard let firstUser else { return nil }
    let listeners = state.listeners.filter { !$0.isProxied }.map {
      Settings.Listener(transport: $0.transport, address: $0.address)
    }
    let urls = IceServers.urls(
      listeners: listeners, reachableAddresses: state.relayed.entries.map(\.advertised), names: HostNames(settings))
    return IceServers(urls: urls, username: firstUser.name, credential: firstUser.password)
  }

  // MARK: - Certificates

  /// The source of the certificate with these settings.
  func certificateSource(_ settings: Settings.TLSSection) -> CertificateSource {
    CertificateSource(
      settings: settings,
      isNeeded: state.listeners.contains { $0.transport.isSecure } || self.settings.admin.listen.isRemote,
      stateDirectory: stateDirectory.path,
      addresses: state.relayed.entries.map(\.advertised), log: log)
  }

  /// The contexts for the first certificate.
  func makeFirstContexts(_ count: Int) throws(StartFailure) -> [SecureContexts] {
    let source = certificateSource(settings.tls)
    do throws(CertificateError) {
      guard let files = try source.load(Files.readRegular) else { return [] }
      if !source.isNamed {
        log.warning(
          "certificate-self-signed", ("effect", "browsers refuse turns: until they trust it"),
          ("remedy", "set tls.certificate and tls.private-key"))
      }
      logHandshakeCost(files)
      return try makeSecureContexts(files, count)
    } catch {
      throw source.isNamed ? .misconfigured("\(error)") : .failed("\(error)")
    }
  }

  /// The TLS and DTLS contexts, one pair for each shard, so that threads do not contend for one reference count.
  func makeSecureContexts(_ files: ServerCertificates, _ count: Int) throws(CertificateError) -> [SecureContexts] {
    for one in files.all { CertificateRemark(one, now: Now.read().wall)?.write(to: log) }
    let version = settings.tls.minimumVersion
    let ticketKeys = ticketKeys.keys(for: files)
    var contexts: [SecureContexts] = []
    for _ in 0..<count {
      let stream = try files.context(minimumVersion: version, ticketKeys: ticketKeys)
      // OpenSSL has no DTLS 1.3.
      let datagram = version == .tls13 ? nil : try files.context(isDatagram: true, ticketKeys: ticketKeys)
      contexts.append(SecureContexts(stream: stream, datagram: datagram))
    }
    certificate = (files.standard.leaf, try TLSContext(server: files.standard, minimumVersion: version))
    return contexts
  }
}
