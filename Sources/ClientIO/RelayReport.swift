public import NetworkTypes
public import TLS
public import TURNClient

/// The result of a full check of a TURN server, step by step.
public struct RelayReport: Sendable {
  /// One step with its result.
  public struct Step: Sendable {
    /// Stable: `connect`, `tls`, `allocate`, `peer`, `permission`, `send-echo`, `channel-bind`, `channel-echo`,
    /// `series`, `refresh`, `delete`.
    public var name: Name
    public var duration: Duration
    /// Nil: it succeeded.
    public var failure: CheckFailure?
    /// Transmissions of the data or request; 1 without loss.
    public var attempts = 1
  }

  /// The steps in their order.
  public enum Name: String, Hashable, Sendable, CaseIterable {
    case connect, tls, allocate, peer, permission
    case sendEcho = "send-echo"
    case channelBind = "channel-bind"
    case channelEcho = "channel-echo"
    case series, refresh, delete
  }

  /// The kind of peer.
  public enum PeerKind: String, Hashable, Sendable {
    /// A plain UDP socket of this machine.
    case socket
    /// A second allocation on the same server.
    case allocation
  }

  public var target: ServerTarget
  public var localAddress: SocketAddress?
  public var tls: TLSConnectionSummary?
  /// Nil if Allocate failed.
  public var grant: ClientAllocation.Grant?
  public var realm: String?
  /// Whether requests were signed with MESSAGE-INTEGRITY-SHA256.
  public var usesSHA256 = false
  public var peerKind: PeerKind?
  public var peerAddress: SocketAddress?
  public var steps: [Step] = []
  /// The numbered packets to the peer and back through the channel; nil: none were requested.
  public var series: PacketSeries?
  /// Warnings: addresses that only some clients can reach.
  public var complaints: [CheckFailure] = []
  /// Notes that are not failures.
  public var notes: [String] = []

  /// The first failure; nil: everything works.
  public var verdict: CheckFailure? { steps.lazy.compactMap(\.failure).first }

  /// The sum of the steps' durations.
  public var totalDuration: Duration { steps.reduce(.zero) { $0 + $1.duration } }

  init(target: ServerTarget) { self.target = target }
}
