public import NetworkTypes
public import Tables

/// A small number for one of the server's transport addresses: address, port and transport. The engine assigns the
/// numbers, and reuses one only after `Relay.endpointsInUse` no longer has it.
public struct EndpointID: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  public let rawValue: UInt16

  @inlinable
  public init(rawValue: UInt16) { self.rawValue = rawValue }
}

/// A realm by its index in `RelaySettings.realms`.
public struct RealmID: RawRepresentable, Hashable, Sendable, BitwiseCopyable {
  public let rawValue: UInt8

  @inlinable
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// The realm of every listener and server name without its own realm.
  @inlinable public static var `default`: RealmID { RealmID(rawValue: 0) }
}

/// The type parameter of handles to clients' connections and DTLS associations. The engine owns the connections.
public enum EngineConnection {}

/// The path to a client: the five-tuple of its requests (RFC 8656 section 3), and for a stream the connection.
///
/// On a wildcard listener each packet may have another server address. A client port that sends to two of our addresses
/// has two five-tuples, which differ in the endpoint.
public struct ClientPath: Equatable, Sendable, BitwiseCopyable {
  /// The client's transport address, as the server sees it.
  public let address: SocketAddress
  /// The server's transport address of the five-tuple.
  public let endpoint: EndpointID
  public let transport: TransportProtocol
  @usableFromInline let storedConnection: OptionalHandle<EngineConnection>
  /// The realm of the client's listener or server name.
  public var realm: RealmID

  /// The engine's handle of the connection or DTLS association; nil over UDP.
  @inlinable public var connection: Handle<EngineConnection>? { storedConnection.handle }

  @inlinable
  public init(
    address: SocketAddress, endpoint: EndpointID, transport: TransportProtocol,
    connection: Handle<EngineConnection>? = nil, realm: RealmID = .default
  ) {
    self.address = address
    self.endpoint = endpoint
    self.transport = transport
    storedConnection = OptionalHandle(connection)
    self.realm = realm
  }

  static func endpoint(ofKey key: FlatKey) -> EndpointID {
    EndpointID(rawValue: UInt16(truncatingIfNeeded: key.a >> 16))
  }

  /// Port, endpoint, family, DTLS and scope in one word, the address in two. A DTLS client and a plain UDP client with
  /// the same address and port have different keys.
  @inline(__always)
  var key: FlatKey {
    FlatKey(
      UInt64(address.port) | UInt64(endpoint.rawValue) << 16 | UInt64(address.address.family.rawValue) << 32
        | (transport == .dtls ? 1 << 34 : 0) | UInt64(address.scope) << 35,
      address.address.high, address.address.low)
  }
}

/// A peer's transport address as the client names it. Packets to a relay of ours behind a 1:1 NAT go to another
/// address: `RelayedAddresses.destination`.
struct PeerAddress: Equatable, BitwiseCopyable {
  var transportAddress: SocketAddress

  @inline(__always)
  init(_ transportAddress: SocketAddress) { self.transportAddress = transportAddress }

  @inline(__always)
  init(_ address: IPAddress, port: UInt16) { transportAddress = SocketAddress(address, port: port) }

  @inline(__always) var address: IPAddress { transportAddress.address }
  @inline(__always) var port: UInt16 { transportAddress.port }
  @inline(__always) var family: IPAddress.Family { transportAddress.family }
}
