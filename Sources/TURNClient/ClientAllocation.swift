public import Crypto
public import NetworkTypes
public import STUN

/// The client's side of one TURN allocation (RFC 8656): requests with their retransmissions and credentials, what the
/// server granted, and data in both framings.
///
/// Commands, received bytes and the time go in; after each, everything that `takeOutput` and `takeEvent` hold comes
/// out, and `deadline` says when `advance` is due. No socket, no clock, no randomness of its own.
public struct ClientAllocation: ~Copyable {
  public struct Settings: Hashable, Sendable {
    /// Nil: the server is expected to ask for none.
    public var credential: LongTermCredential?
    /// TCP and TLS: one transmission, ChannelData padded.
    public var isStream = false
    /// REQUESTED-TRANSPORT: what the relay speaks to peers.
    public var relayTransport = RelayTransport.udp
    /// REQUESTED-ADDRESS-FAMILY; nil: not sent, which means IPv4.
    public var addressFamily: IPAddress.Family?
    /// ADDITIONAL-ADDRESS-FAMILY: an IPv6 address beside the IPv4 one.
    public var wantsBothFamilies = false
    /// LIFETIME asked for, in seconds; nil: the server's default.
    public var lifetime: UInt32?
    /// EVEN-PORT; true inside: with the next port reserved.
    public var evenPort: Bool?
    /// SOFTWARE; nil: not sent.
    public var software: String?
    public var retransmission = Retransmission.Settings()
    /// Whether allocation, permissions and channels are kept alive until they are deleted.
    public var refreshesAutomatically = true
    /// Whether an unsigned error response to a signed request counts as the server's word. RFC 8489 section 9.2.5 has
    /// it discarded, which turns a clear refusal of a careless server into a timeout of 40 s: right for a call,
    /// useless for a probe. Guessing a transaction is hopeless either way.
    public var trustsUnsignedErrors = true

    public init() {}
  }

  /// What the server granted.
  public struct Grant: Hashable, Sendable {
    /// One address, or two of different families.
    public var relayedAddresses: [SocketAddress]
    /// Our address as the server sees it.
    public var mappedAddress: SocketAddress?
    /// Seconds, as the server last said.
    public var lifetime: UInt32
    /// Why there is no second address, where one was asked for (ADDRESS-ERROR-CODE).
    public var addressError: ErrorCode?
    public var reservationToken: UInt64?
    public var software: String?
  }

  public enum Operation: Hashable, Sendable {
    case allocate
    case createPermission([SocketAddress])
    case channelBind(ChannelNumber, SocketAddress)
    case refresh
    case delete
  }

  /// How an operation ended.
  public struct Event: Hashable, Sendable {
    public var operation: Operation
    /// Nil: success.
    public var failure: RequestFailure?
    /// Whether it was a refresh that nobody asked for.
    public var isAutomatic: Bool
    /// Nanoseconds from the command to the end, round trips for credentials included.
    public var duration: UInt64
    /// Round trips: 2 for the first request of a server that asks for credentials.
    public var roundTrips: Int
    /// Requests sent, retransmissions included.
    public var transmissions: Int

    public init(
      operation: Operation, failure: RequestFailure?, isAutomatic: Bool, duration: UInt64, roundTrips: Int,
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

  public enum State: Hashable, Sendable {
    case idle
    case allocating
    case allocated
    /// Deleted, refused or lost.
    case ended
  }

  public internal(set) var state = State.idle
  public internal(set) var grant: Grant?
  /// The realm that the server named; empty before it did.
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
  /// When the automatic refreshes are due.
  var allocationRefresh = Instant.distantFuture
  var permissionRefresh = Instant.distantFuture
  var channelRefresh: [ChannelNumber: Instant] = [:]

  /// Requests that may wait for an answer at the same time; a command beyond is refused.
  public static let transactionLimit = 1024
  /// Peers that one CreatePermission may name.
  public static let permissionLimit = 64

  public init(settings: Settings, generator: consuming SeededGenerator) {
    self.settings = settings
    self.generator = generator
  }

  /// When `advance` is due; nil: not before something else happens.
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
  /// When the command came, and how many requests it has taken.
  let began: Instant
  var roundTrips = 1
  var earlierTransmissions = 0
  var isSigned: Bool
  /// The nonce that this request was signed with.
  var nonce: [UInt8]
  var staleNonces = 0
  var discarded: Discarded?

  var transmissions: Int { earlierTransmissions + retransmission.transmissions }
}
