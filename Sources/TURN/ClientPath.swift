public import NetworkTypes

/// One of the server's own transport addresses that clients reach it at: address, port and transport, as a small
/// number. The engine gives the numbers out, and gives one again only
/// once `Relay.endpointsInUse` no longer has it.
public struct EndpointID: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  public let rawValue: UInt16

  @inlinable
  public init(rawValue: UInt16) { self.rawValue = rawValue }
}

/// The way to a client: the five-tuple of its requests (RFC 8656 section 3), and for a stream the connection.
///
/// On a wildcard listener the server's address differs from packet to packet, so one client port that talks to two
/// of our addresses is two five-tuples: the endpoint tells them apart.
public struct ClientPath: Equatable, Sendable, BitwiseCopyable {
  /// The client's transport address, as the server sees it.
  public let address: SocketAddress
  public let endpoint: EndpointID
  public let transport: TransportProtocol
  /// The engine's name for the connection or DTLS association; `.none` over UDP.
  public let connection: RecordID
  /// The number of the realm that the client's listener or server name stands for; 0: the default one.
  public var realm: UInt8

  @inlinable
  public init(
    address: SocketAddress, endpoint: EndpointID, transport: TransportProtocol, connection: RecordID = .none,
    realm: UInt8 = 0
  ) {
    self.address = address
    self.endpoint = endpoint
    self.transport = transport
    self.connection = connection
    self.realm = realm
  }

  static func endpoint(ofKey key: FlatKey) -> EndpointID {
    EndpointID(rawValue: UInt16(truncatingIfNeeded: key.a >> 16))
  }

  /// Port, endpoint, family, DTLS and scope in one word, the address in two. What comes plain from the address and
  /// port of a DTLS client is not that client.
  @inline(__always)
  var key: FlatKey {
    FlatKey(
      UInt64(address.port) | UInt64(endpoint.rawValue) << 16 | UInt64(address.address.family.rawValue) << 32
        | (transport == .dtls ? 1 << 34 : 0) | UInt64(address.scope) << 35,
      address.address.high, address.address.low)
  }
}
