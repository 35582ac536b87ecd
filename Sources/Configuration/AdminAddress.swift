public import NetworkTypes

/// The address of the admin endpoint.
public enum AdminAddress: Hashable, Sendable, CustomStringConvertible {
  case none
  case address(SocketAddress)
  /// An absolute path.
  case unixSocket(String)

  /// `IP:PORT`, `[IPv6]:PORT` or `unix:/PATH`; empty: none. Nil for any other text.
  public init?(_ text: String) {
    if text.isEmpty {
      self = .none
    } else if text.hasPrefix("unix:") {
      let path = String(text.dropFirst(5))
      // A socket's name has room for 107 bytes.
      guard path.hasPrefix("/"), path.utf8.count <= 107, !path.hasControls else { return nil }
      self = .unixSocket(path)
    } else {
      guard let address = SocketAddress(text), address.port != 0 else { return nil }
      self = .address(address)
    }
  }

  public var description: String {
    switch self {
    case .none: ""
    case .address(let address): "\(address)"
    case .unixSocket(let path): "unix:\(path)"
    }
  }

  /// The address; nil for a Unix socket and without an endpoint.
  public var address: SocketAddress? {
    guard case .address(let address) = self else { return nil }
    return address
  }

  /// The path of the Unix socket; nil for an address and without an endpoint.
  public var unixSocket: String? {
    guard case .unixSocket(let path) = self else { return nil }
    return path
  }

  /// Whether other hosts can reach the endpoint. If they can, it uses TLS and needs a token.
  public var isRemote: Bool { address.map { !$0.address.isLoopback } ?? false }
}
