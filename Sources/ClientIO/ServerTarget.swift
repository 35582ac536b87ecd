public import Crypto
internal import DNS
internal import NetIO
public import NetworkTypes
internal import System
public import TURNClient

/// A server: the URI, and one of the addresses that it resolved to.
public struct ServerTarget: Hashable, Sendable {
  public var uri: ServerURI
  public var transport: TransportProtocol
  public var address: SocketAddress

  public init(uri: ServerURI, transport: TransportProtocol, address: SocketAddress) {
    self.uri = uri
    self.transport = transport
    self.address = address
  }

  /// The name that the certificate must have.
  public var serverName: String {
    switch uri.host {
    case .address(let address): address.description
    case .name(let name): name.hasSuffix(".") ? String(name.dropLast()) : name
    }
  }

  /// Whether a datagram came from the server. Scopes are not compared, because addresses in messages have none.
  func isSource(_ source: SocketAddress) -> Bool {
    source.address == address.address && source.port == address.port
  }

  /// The addresses of a URI's host in the order of preference; only those of `family` unless it is nil. Blocks while
  /// the system resolves the name.
  public static func resolve(
    _ uri: ServerURI, transport: TransportProtocol? = nil, family: IPAddress.Family? = nil
  ) throws(ConnectionFailure) -> [ServerTarget] {
    let transport = transport ?? uri.transport
    let port = uri.port ?? transport.defaultPort
    switch uri.host {
    case .address(let address): return [try literal(uri, transport, address, port, family)]
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

  private static func literal(
    _ uri: ServerURI, _ transport: TransportProtocol, _ address: IPAddress, _ port: UInt16, _ family: IPAddress.Family?
  ) throws(ConnectionFailure) -> ServerTarget {
    guard family == nil || address.family == family else {
      throw .unresolved(name: address.description, .failed("is no \(family == .ipv4 ? "IPv4" : "IPv6") address"))
    }
    var scope: UInt32 = 0
    if let zone = uri.zone {
      guard let index = Interfaces.index(of: zone) else {
        throw .unresolved(name: "\(address)%\(zone)", .failed("there is no interface \(zone)"))
      }
      scope = index
    }
    return ServerTarget(uri: uri, transport: transport, address: SocketAddress(address, port: port, scope: scope))
  }
}

/// Settings of server discovery.
public struct DiscoverySettings: Sendable {
  /// The family of the addresses; nil: both.
  public var family: IPAddress.Family?
  /// The user's options, which override the URI.
  public var transport: TransportProtocol?
  /// The name server; nil: the system's name servers, and its hosts file for addresses.
  public var nameServer: SocketAddress?
  /// Timeout of one attempt at one name server.
  public var timeout = Duration.seconds(2)

  public init() {}

  /// The time after which only the name's own addresses are still looked up. A silent name takes about six timeouts:
  /// two attempts, the second with twice the timeout, for two families. So a second target is looked up too.
  var limit: Duration { timeout * 8 }
}

extension ServerTarget {
  /// The servers of a URI, found by NAPTR and SRV records if the URI has no port or transport (RFC 5928, RFC 8489
  /// section 8), and the DNS queries. Blocks while it queries name servers.
  public static func discover(
    _ uri: ServerURI, _ settings: DiscoverySettings, generator: inout SeededGenerator
  ) -> (targets: Result<[ServerTarget], ConnectionFailure>, trace: [ServerDiscovery.Trace]) {
    guard case .name(let host) = uri.host else {
      do {
        return (.success(try resolve(uri, transport: settings.transport, family: settings.family)), [])
      } catch {
        return (.failure(error), [])
      }
    }
    let name = host.hasSuffix(".") ? String(host.dropLast()) : host
    var service: SystemNameService
    do { service = try SystemNameService(settings) } catch {
      return (.failure(.unresolved(name: name, .failed(error.description))), [])
    }
    let found = ServerDiscovery.run(
      uri, name: name, transport: settings.transport, service: &service, generator: &generator)
    guard !found.candidates.isEmpty else {
      let reason: ResolutionError =
        switch found.failure {
        case .silent?, .outOfTime?: .temporary
        case .failed(let words)?: .failed(words)
        case .notFound?, nil: .notFound
        }
      return (.failure(.unresolved(name: name, reason)), found.trace)
    }
    let targets = found.candidates.map { ServerTarget(uri: uri, transport: $0.transport, address: $0.address) }
    return (.success(targets), found.trace)
  }
}

/// Resolves services by DNS, and addresses by the system with its hosts file unless the user names a name server.
private struct SystemNameService: NameService {
  /// A class, because a type that conforms to this protocol cannot hold a noncopyable value yet.
  private final class Client {
    var client: DNSClient
    init(_ client: consuming DNSClient) { self.client = client }
  }

  private let client: Client
  private let family: IPAddress.Family?
  private let end: Instant

  var isInTime: Bool { Instant.read() < end }

  init(_ settings: DiscoverySettings) throws(DNSClient.SetupError) {
    client = Client(
      try DNSClient(server: settings.nameServer, family: settings.family, timeout: settings.timeout))
    family = settings.family
    end = Instant.read().advanced(by: settings.limit)
  }

  mutating func naming(of name: String) throws(LookupFailure) -> [NamingRecord] { try client.client.naming(of: name) }

  mutating func services(of name: String) throws(LookupFailure) -> [ServiceRecord] {
    try client.client.services(of: name)
  }

  mutating func addresses(of name: String) throws(LookupFailure) -> [SocketAddress] {
    if client.client.answersAddresses {
      return try client.client.addresses(of: name).map { SocketAddress($0, port: 0) }
    }
    do {
      return try Resolver.addresses(of: name, family: family)
    } catch {
      switch error {
      case .notFound: throw .notFound
      case .temporary: throw .silent
      case .failed(let words): throw .failed(words)
      }
    }
  }
}
