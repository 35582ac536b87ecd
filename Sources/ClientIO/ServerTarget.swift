internal import NetIO
public import NetworkTypes
public import TURNClient

/// A server to talk to: what was asked for, and one of the addresses that it came to.
public struct ServerTarget: Hashable, Sendable {
  public var uri: ServerURI
  public var transport: TransportProtocol
  public var address: SocketAddress

  public init(uri: ServerURI, transport: TransportProtocol, address: SocketAddress) {
    self.uri = uri
    self.transport = transport
    self.address = address
  }

  /// What the certificate must be for.
  public var serverName: String {
    switch uri.host {
    case .address(let address): address.description
    case .name(let name): name.hasSuffix(".") ? String(name.dropLast()) : name
    }
  }

  /// The addresses of a URI's host in the order of preference, of one family if one is asked for. Blocks while the
  /// system resolves the name.
  public static func resolve(
    _ uri: ServerURI, transport: TransportProtocol? = nil, family: IPAddress.Family? = nil
  ) throws(ConnectionFailure) -> [ServerTarget] {
    let transport = transport ?? uri.transport
    let port = uri.port ?? transport.defaultPort
    switch uri.host {
    case .address(let address):
      guard family == nil || address.family == family else {
        throw .unresolved(name: address.description, .notFound)
      }
      return [ServerTarget(uri: uri, transport: transport, address: SocketAddress(address, port: port))]
    case .name(let name):
      do {
        return try Resolver.addresses(of: name, family: family).map { found in
          ServerTarget(
            uri: uri, transport: transport, address: SocketAddress(found.address, port: port, scope: found.scope))
        }
      } catch {
        throw .unresolved(name: name, error)
      }
    }
  }
}
