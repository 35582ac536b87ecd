internal import NetIO
public import NetworkTypes
internal import STUN
public import TLS
public import TURNClient

/// The kind and size of a load.
public struct LoadSettings {
  /// The kind of load.
  public enum Work: String, Sendable, CaseIterable {
    /// Binding requests.
    case binding
    /// Repeated cycles of 401, Allocate and Refresh with lifetime 0, each from a new address.
    case allocate
    /// Allocations that are created and kept.
    case hold
    /// Packets through allocations, to and from peers that are sockets of ours.
    case relay
    /// Packets from one allocation of the server to another.
    case relayToRelay = "relay-to-relay"
    /// Without a server: repeated `sendto` and `recv` over loopback. A relay that sends packets one by one cannot use
    /// less CPU time.
    case floor
  }

  /// The direction of `relay`.
  public enum Direction: String, Sendable {
    case toPeer = "to-peer"
    case toClient = "to-client"
    /// Each packet goes to the peer and comes back.
    case echo
  }

  /// The speed of sending.
  public enum Pace: Equatable, Sendable {
    /// A fixed number of packets in flight: as fast as the server answers.
    case window(Int)
    /// Packets a second, even if fewer arrive.
    case rate(UInt64)
    /// The highest rate at which less than a thousandth is lost.
    case search
  }

  public var work = Work.binding
  public var direction = Direction.toPeer
  public var transport = TransportProtocol.udp
  public var server: SocketAddress
  /// The name that the server's certificate must have.
  public var serverName = ""
  /// A TLS or DTLS context, as the transport needs.
  public var tls: TLSContext?
  public var credential: LongTermCredential?
  /// Send and Data indications in place of ChannelData.
  public var usesIndications = false
  /// Bytes of application data in each packet; at least `Stamp.byteCount`.
  public var payloadByteCount = 172
  /// The number of allocations, or of clients that send requests at the same time.
  public var allocations = 1
  /// The number of packets that one allocation sends before the next allocation's turn.
  public var burst = 1
  public var pace = Pace.window(256)
  /// Whether a burst is sent in one call (UDP_SEGMENT), and received in one (UDP_GRO).
  public var segments = false
  public var coalesces = false
  /// The length of the measurement, and of the warm-up before it, which is not measured.
  public var duration = Duration.seconds(5)
  public var warmUp = Duration.milliseconds(300)
  /// The length of each trial of a search.
  public var trialDuration = Duration.seconds(1)
  /// The longest time without progress while allocations are created.
  public var timeout = Duration.seconds(10)
  /// The server's process, if it is on this machine.
  public var serverProcess: Int?
  /// Further processes whose CPU time counts as the server's, such as kernel threads that receive for it.
  public var serverHelpers: [Int] = []
  /// The core that the server uses.
  public var serverCore: Int?

  public init(server: SocketAddress) { self.server = server }

  /// Whether every client and peer can have its own loopback address. One socket then serves them all in large batches,
  /// so that the generator's own cost stays small.
  var hasAddressesToSpare: Bool {
    transport == .udp && server.family == .ipv4 && server.address.isLoopback && !segments
  }

  /// The address, with a port, from which this machine reaches the server.
  func localAddress() throws(LoadError) -> SocketAddress {
    guard let route = try? ClientSocket.udp(to: server), let local = route.localAddress else {
      throw .socket("\(server)", reason: "there is no route to it")
    }
    return local
  }

  /// The peers' address: the one from which this machine reaches the server; nil if it has no route.
  public var peerAddress: SocketAddress? { try? localAddress() }

  /// Whether each client has its own connection: a stream or a DTLS association.
  var usesLinks: Bool { transport != .udp }
}

/// The reason why nothing was measured.
public enum LoadError: Error, Hashable, Sendable {
  /// A socket could not be opened or used: the operation, and the system's reason.
  case socket(String, reason: String)
  /// A request of the preparation failed.
  case request(String, RequestFailure)
  /// The server was silent during the preparation.
  case silence(waitingFor: String)
  case tls(String)
  /// The connection ended.
  case closed
  /// No packet arrived.
  case nothingReceived(sent: UInt64)
}

extension LoadError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .socket(let what, let reason): "\(what): \(reason)"
    case .request(let what, let failure): "\(what) failed: \(failure.event)"
    case .silence(let what): "the server did not answer \(what)"
    case .tls(let reason): "TLS: \(reason)"
    case .closed: "the server closed a connection"
    case .nothingReceived(let sent): "none of \(sent) packets arrived"
    }
  }
}

extension LoadError {
  /// Whether the server does not relay to our peers.
  public var isForbiddenPeer: Bool {
    if case .request(let what, .refused(.forbidden, _, _, _)) = self { return what != "Allocate" }
    return false
  }

  /// The most likely cause; nil if none is known.
  public var likelyCause: String? {
    switch self {
    case .request(_, let failure): failure.likelyCause
    case .silence: "a firewall drops the packets, or this is no server for such requests"
    case .nothingReceived: "the server does not relay to this machine, or a firewall drops what it relays"
    case .socket, .tls, .closed: nil
    }
  }
}
