public import Crypto
public import NetworkTypes
public import STUN

/// The client's side of one TURN allocation (RFC 8656): requests with retransmissions and credentials, the granted
/// state, and data in both framings.
///
/// The caller passes in commands, received bytes and the time. After each call it takes everything from `takeOutput`
/// and `takeEvent`, and calls `advance` at `deadline`. This type uses no socket, no clock and no randomness of its own.
public struct ClientAllocation: ~Copyable {
  /// The requested allocation and the client's behaviour.
  public struct Settings: Hashable, Sendable {
    /// Nil: for a server that requires no credentials.
    public var credential: LongTermCredential?
    /// Whether the transport is TCP or TLS: requests are sent once, and ChannelData is padded.
    public var isStream = false
    /// REQUESTED-TRANSPORT: the transport between relay and peers.
    public var relayTransport = RelayTransport.udp
    /// REQUESTED-ADDRESS-FAMILY; nil: not sent, which means IPv4.
    public var addressFamily: IPAddress.Family?
    /// ADDITIONAL-ADDRESS-FAMILY: requests an IPv6 address besides the IPv4 one.
    public var wantsBothFamilies = false
    /// The requested LIFETIME; nil: the server's default.
    public var lifetime: Duration?
    /// EVEN-PORT; true: with a reservation of the next port; nil: not sent.
    public var evenPort: Bool?
    /// SOFTWARE; nil: not sent.
    public var software: String?
    public var retransmission = Retransmission.Settings()
    /// Whether allocation, permissions and channels are kept alive until they are deleted.
    public var refreshesAutomatically = true
    /// Whether an unsigned error response to a signed request is accepted. RFC 8489 section 9.2.5 requires clients to
    /// discard it. This turns a refusal of a server that does not sign errors into a timeout of 40 s: right for a call,
    /// useless for a probe. An attacker cannot guess the transaction ID in either case.
    public var trustsUnsignedErrors = true

    public init() {}
  }

  /// The granted allocation.
  public struct Grant: Hashable, Sendable {
    /// One address, or two of different families.
    public var relayedAddresses: [SocketAddress]
    /// Our address as the server sees it.
    public var mappedAddress: SocketAddress?
    /// The lifetime in the last response.
    public var lifetime: Duration
    /// The reason why the second address was refused (ADDRESS-ERROR-CODE).
    public var addressError: ErrorCode?
    /// RESERVATION-TOKEN: reserves the next port, if EVEN-PORT requested it.
    public var reservationToken: UInt64?
    public var software: String?
  }

  /// A request of the client; `delete` is a Refresh with a lifetime of 0.
  public enum Operation: Hashable, Sendable {
    case allocate
    case createPermission([SocketAddress])
    case channelBind(ChannelNumber, SocketAddress)
    case refresh
    case delete
  }

  /// The end of an operation.
  public struct Event: Hashable, Sendable {
    public var operation: Operation
    /// Nil: success.
    public var failure: RequestFailure?
    /// Whether the refresh was automatic, not a command of the caller.
    public var isAutomatic: Bool
    /// The time from the command to the end, including round trips for credentials.
    public var duration: Duration
    /// Round trips: 2 for the first request to a server that requires credentials.
    public var roundTrips: Int
    /// Requests sent, retransmissions included.
    public var transmissions: Int

    public init(
      operation: Operation, failure: RequestFailure?, isAutomatic: Bool, duration: Duration, roundTrips: Int,
      transmissions: Int
    ) {
      self.operation = operation
      self.failure = failure
      self.isAutomatic = isAutomatic
      self.duration = duration
      self.roundTrips = roundTrips
      self.transmissions = transmissions
    }
  }

  /// The state of the allocation.
  public enum State: Hashable, Sendable {
    case idle
    case allocating
    case allocated
    /// Deleted, refused or lost.
    case ended
  }

  public internal(set) var state = State.idle
  /// Nil before the success response to Allocate.
  public internal(set) var grant: Grant?
  /// The server's realm; empty before its first challenge.
  public var realm: String { String(decoding: authentication.realm, as: UTF8.self) }
  /// Whether requests are signed with SHA-256 (RFC 8489).
  public var usesSHA256: Bool { authentication.algorithm == .sha256 }

  let settings: Settings
  var generator: SeededGenerator
  var authenticator = MessageAuthenticator()
  var writer = MessageWriter(capacity: 4096)
  var authentication = LongTermAuthentication()
  var transactions: [TransactionID: Transaction] = [:]
  var outputs: [[UInt8]] = []
  var events: [Event] = []
  var peersByChannel: [UInt16: SocketAddress] = [:]
  var channelsByPeer: [SocketAddress: ChannelNumber] = [:]
  var permitted: [IPAddress: SocketAddress] = [:]
  var nextChannel: UInt16 = 0x4000
  /// The times of the next automatic refreshes.
  var allocationRefresh = Instant.distantFuture
  var permissionRefresh = Instant.distantFuture
  var channelRefresh: [ChannelNumber: Instant] = [:]

  /// Limit of pending requests; further commands are refused.
  public static let transactionLimit = 1024
  /// Limit of peers in one CreatePermission.
  public static let permissionLimit = 64

  public init(settings: Settings, generator: consuming SeededGenerator) {
    self.settings = settings
    self.generator = generator
  }

  /// The time of the next `advance`; nil: no timer runs.
  public var deadline: Instant? {
    var earliest = min(allocationRefresh, permissionRefresh)
    for transaction in transactions.values { earliest = min(earliest, transaction.retransmission.deadline) }
    for due in channelRefresh.values { earliest = min(earliest, due) }
    return earliest == .distantFuture ? nil : earliest
  }

  /// The next message to send, in order; nil: none.
  public mutating func takeOutput() -> [UInt8]? { outputs.isEmpty ? nil : outputs.removeFirst() }

  /// The next event, in order; nil: none.
  public mutating func takeEvent() -> Event? { events.isEmpty ? nil : events.removeFirst() }
}

/// A request that waits for its answer.
struct Transaction {
  var operation: ClientAllocation.Operation
  var request: [UInt8]
  var retransmission: Retransmission
  let isAutomatic: Bool
  /// The time of the command, and the number of requests with new transaction IDs for it.
  let began: Instant
  var roundTrips = 1
  var earlierTransmissions = 0
  var isSigned: Bool
  /// The nonce in this request.
  var nonce: [UInt8]
  var staleNonces = 0
  var discarded: Discarded?

  var transmissions: Int { earlierTransmissions + retransmission.transmissions }
}
