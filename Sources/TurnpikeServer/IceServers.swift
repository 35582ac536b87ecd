public import Configuration
internal import JSON
public import NetworkTypes
internal import System
internal import TLS

/// The configuration for `new RTCPeerConnection(…)`.
public struct IceServers: Equatable, Sendable {
  /// The STUN and TURN URLs, all with the same credential.
  public var urls: [String]
  public var username: String
  public var credential: String

  public init(urls: [String], username: String, credential: String) {
    self.urls = urls
    self.username = username
    self.credential = credential
  }

  /// The JSON line: `{"iceServers":[{"urls":[…],"username":…,"credential":…}]}`.
  public var json: String { document.encode() }

  var document: JSONValue {
    let server: JSONValue = [
      "urls": .array(urls.map { .string($0) }), "username": .string(username), "credential": .string(credential),
    ]
    return ["iceServers": [server]]
  }

  /// The URLs of these listeners: `stun:` and `turn:` for UDP, `turn:` for TCP, `turns:` for TLS.
  ///
  /// A listener on every address gets a URL for each of the `reachableAddresses` of its family. WebRTC has no URL for
  /// DTLS. Clients cannot reach a listener behind a proxy, and the proxy's address is unknown.
  public static func urls(
    listeners: [Settings.Listener], reachableAddresses: [IPAddress], names: HostNames
  ) -> [String] {
    var urls: [String] = []
    func add(_ url: String) { if !urls.contains(url) { urls.append(url) } }
    for listener in listeners where !listener.proxyProtocol {
      let port = listener.address.port
      let addresses = hosts(listener.address.address, reachableAddresses)
      let hosts = names.everywhere.map { [$0] } ?? addresses.map { $0.family == .ipv6 ? "[\($0)]" : "\($0)" }
      switch listener.transport {
      case .udp:
        for host in hosts { add("stun:\(host):\(port)") }
        for host in hosts { add("turn:\(host):\(port)?transport=udp") }
      case .tcp:
        for host in hosts { add("turn:\(host):\(port)?transport=tcp") }
      case .tls:
        if let host = names.ofCertificate { add("turns:\(host):\(port)?transport=tcp") }
      case .dtls:
        break
      }
    }
    return urls
  }

  private static func hosts(_ bound: IPAddress, _ reachable: [IPAddress]) -> [IPAddress] {
    guard bound.isUnspecified else { return [bound] }
    return reachable.filter { $0.family == bound.family }
  }
}

/// The names that replace addresses in URLs.
public struct HostNames: Equatable, Sendable {
  /// `public-name` for every URL; nil: `stun:` and `turn:` have addresses.
  public var everywhere: String?
  /// The name in `turns:` URLs; nil if no browser would accept one: with a self-signed certificate, or without a name
  /// (Firefox refuses addresses).
  public var ofCertificate: String?

  public init(everywhere: String? = nil, ofCertificate: String? = nil) {
    self.everywhere = everywhere
    self.ofCertificate = ofCertificate
  }

  /// The names of a configuration and its certificate. An unreadable certificate counts as none; the server's start and
  /// `check` report it.
  public init(_ settings: Settings) {
    everywhere = settings.publicName.isEmpty ? nil : settings.publicName
    let path = settings.tls.certificate
    guard !path.isEmpty, let content = try? Files.readRegular(path),
      let leaf = try? CertificateSummary(firstOf: .bytes(content, name: path)), !leaf.isSelfSigned
    else { return }
    // A wildcard name cannot be looked up.
    ofCertificate = everywhere ?? leaf.dnsNames.first { !$0.contains("*") }
  }
}
