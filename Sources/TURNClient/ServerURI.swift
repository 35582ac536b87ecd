public import NetworkTypes

/// A `stun:`, `stuns:`, `turn:` or `turns:` URI (RFC 7064, RFC 7065).
///
/// Common mistakes, such as `stun://`, are accepted with a hint for the user.
public struct ServerURI: Hashable, Sendable {
  /// The part before the first colon.
  public enum Scheme: String, Hashable, Sendable, CaseIterable {
    case stun, stuns, turn, turns

    /// Whether the scheme means TLS or DTLS.
    public var isSecure: Bool { self == .stuns || self == .turns }
    public var isTURN: Bool { self == .turn || self == .turns }
  }

  /// The server's address or name.
  public enum Host: Hashable, Sendable, CustomStringConvertible {
    case address(IPAddress)
    case name(String)

    public var description: String {
      switch self {
      case .address(let address): address.family == .ipv6 ? "[\(address)]" : "\(address)"
      case .name(let name): name
      }
    }
  }

  public var scheme: Scheme
  public var host: Host
  /// The zone after the % of a link-local address: an interface's name or number (RFC 6874); nil if none.
  public var zone: String?
  /// Nil: the scheme's default, or a port from DNS.
  public var port: UInt16?
  /// The value of `?transport=`; nil if none.
  public var transportParameter: TransportParameter?
  /// Hints about mistakes in the text, for the user.
  public var hints: [String] = []

  /// The transports that `?transport=` can name (RFC 7065).
  public enum TransportParameter: String, Hashable, Sendable {
    case udp, tcp
  }

  public init(
    scheme: Scheme, host: Host, port: UInt16? = nil, transportParameter: TransportParameter? = nil
  ) {
    self.scheme = scheme
    self.host = host
    self.port = port
    self.transportParameter = transportParameter
  }

  /// The transport to the server: UDP by default; TLS over TCP for `stuns` and `turns`; DTLS for
  /// `turns:…?transport=udp` (RFC 7350).
  public var transport: TransportProtocol {
    switch (scheme.isSecure, transportParameter) {
    case (false, .tcp): .tcp
    case (false, _): .udp
    case (true, .udp): .dtls
    case (true, _): .tls
    }
  }

  /// The port in the URI, else 3478 or 5349.
  public var effectivePort: UInt16 { port ?? transport.defaultPort }
}

extension ServerURI: CustomStringConvertible {
  public var description: String {
    let port = port.map { ":\($0)" } ?? ""
    var host = "\(host)"
    if let zone { host = host.dropLast() + "%\(zone)]" }
    let query = transportParameter.map { "?transport=\($0.rawValue)" } ?? ""
    return "\(scheme.rawValue):\(host)\(port)\(query)"
  }
}
