internal import NetIO
public import NetworkTypes
public import TLS
public import TURNClient

/// What load to put on a server.
public struct LoadSettings {
  public enum Work: String, Sendable, CaseIterable {
    /// Binding requests.
    case binding
    /// 401, Allocate, Refresh with a lifetime of 0, over and over, each time from a new address.
    case allocate
    /// Allocations that are made and kept.
    case hold
    /// Packets through allocations, to and from peers that are sockets of ours.
    case relay
    /// Packets from one allocation of the server to another.
    case relayToRelay = "relay-to-relay"
    /// No server at all: one `sendto` and one `recv` over the loopback network, again and again. What no relay that
    /// sends each packet on its own can be cheaper than.
    case floor
  }

  public enum Direction: String, Sendable {
    case toPeer = "to-peer"
    case toClient = "to-client"
    /// To the peer and back.
    case echo
  }

  /// How fast.
  public enum Pace: Equatable, Sendable {
    /// So many packets under way: as fast as the server answers.
    case window(Int)
    /// Packets a second, whatever comes back.
    case rate(UInt64)
    /// The highest rate at which less than a thousandth is lost.
    case search
  }

  public var work = Work.binding
  public var direction = Direction.toPeer
  public var transport = TransportProtocol.udp
  public var server: SocketAddress
  /// What a certificate must be for.
  public var serverName = ""
  /// Of the transport's kind: for DTLS one for datagrams.
  public var tls: TLSContext?
  public var credential: LongTermCredential?
  /// Send and Data indications in place of ChannelData.
  public var usesIndications = false
  /// Bytes of application data in each packet; at least `Stamp.byteCount`.
  public var payloadByteCount = 172
  /// Allocations, or clients that ask at the same time.
  public var allocations = 1
  /// Packets of one allocation in a row.
  public var burst = 1
  public var pace = Pace.window(256)
  /// Whether a burst is handed to the kernel in one piece (UDP_SEGMENT), and received so (UDP_GRO).
  public var segments = false
  public var coalesces = false
  /// Milliseconds that are measured, and those before, which are not.
  public var duration: UInt32 = 5_000
  public var warmUp: UInt32 = 300
  /// Milliseconds that each trial of a search measures.
  public var trialDuration: UInt32 = 1_000
  /// Milliseconds that setting up all allocations may take at the longest without any progress.
  public var timeout: UInt32 = 10_000
  /// The server's process and core, where they can be watched from here.
  public var serverProcess: Int?
  /// Others whose CPU time is the server's too: kernel threads that receive for it.
  public var serverHelpers: [Int] = []
  public var serverCore: Int?

  public init(server: SocketAddress) { self.server = server }

  /// Whether every client and peer can have a loopback address of its own, so that one socket serves them all and
  /// batches are large: the generator must not be what is measured.
  var hasAddressesToSpare: Bool {
    transport == .udp && server.family == .ipv4 && server.address.isLoopback && !segments
  }

  /// The address, with a port, from which the server is reached.
  func localAddress() throws(LoadError) -> SocketAddress {
    guard let route = try? ClientSocket.udp(to: server), let local = route.localAddress else {
      throw .socket("\(server)", reason: "there is no route to it")
    }
    return local
  }

  /// Whether each client has a connection of its own: a stream, or an association of DTLS.
  var usesLinks: Bool { transport != .udp }
}

/// What went wrong so that nothing was measured.
public enum LoadError: Error, Hashable, Sendable {
  /// A socket could not be opened or used: what, and the system's reason.
  case socket(String, reason: String)
  /// A request of the set-up failed.
  case request(String, RequestFailure)
  /// The server was silent during the set-up.
  case silence(waitingFor: String)
  case tls(String)
  /// The connection ended.
  case closed
  /// Not one packet came through.
  case nothingReceived(sent: UInt64)
}

extension LoadError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .socket(let what, let reason): "\(what): \(reason)"
    case .request(let what, let failure): "\(what) failed: \(failure.event)"
    case .silence(let what): "the server was silent while \(what) was waited for"
    case .tls(let reason): "TLS: \(reason)"
    case .closed: "the server closed a connection"
    case .nothingReceived(let sent): "of \(sent) packets none came through"
    }
  }
}

extension LoadError {
  /// What is behind it more often than anything else; nil where nothing is known.
  public var likelyCause: String? {
    switch self {
    case .request(_, let failure): failure.likelyCause
    case .silence: "a firewall drops the packets, or this is no server for such requests"
    case .nothingReceived: "the server does not relay to this machine, or a firewall drops what it relays"
    case .socket, .tls, .closed: nil
    }
  }
}
