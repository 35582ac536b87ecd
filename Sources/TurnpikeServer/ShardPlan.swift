internal import Log
internal import NetIO
internal import NetworkTypes
internal import System
internal import TLS
internal import TURN
internal import Tables

/// A listener that every shard opens.
struct ListenerPlan: Sendable, Equatable {
  var transport: TransportProtocol
  var address: SocketAddress
  /// Whether the first byte distinguishes plain and TLS; otherwise only the listener's scheme is accepted.
  var auto: Bool
  /// The realm of its clients.
  var realm = RealmID.default
  /// Whether each connection begins with a header of the PROXY protocol.
  var isProxied = false
}

/// The TLS and DTLS contexts of a shard.
struct SecureContexts: Sendable {
  var stream: TLSContext
  /// Nil if the allowed versions exclude DTLS.
  var datagram: TLSContext?
}

/// The inputs of a shard: references to objects that threads may share, and copies.
struct ShardPlan: Sendable {
  var index: Int
  var engine: DataPlane.Engine
  var identity: Relay.Identity
  var listeners: [ListenerPlan]
  var settings: RelaySettings
  var gate: PeerGate
  var relayed: RelayedAddresses
  var limiter: StrangerRateLimiter
  var users: UserRateLimiter
  var bandwidth: BandwidthPools
  var ledger: QuotaLedger
  var connections: ConnectionLedger
  var strangersMemory: StrangersMemory
  /// The handshake thread of this shard.
  var handshakes: HandshakeService
  /// The credential stores, by the realms' numbers.
  var credentials: [RealmID: CredentialService]
  /// Nil without `auth.hook`.
  var hook: HookService?
  /// Nil without `events.webhook`.
  var events: EventSender?
  /// The user of the server's own allocations, which no log, event or count includes.
  var probeUser: ProbeUser?
  var serverNames: ServerNames
  /// The addresses from which a header of the PROXY protocol is accepted.
  var trustedProxies: [CIDRBlock]
  /// Nil without TLS and DTLS.
  var contexts: SecureContexts?
  /// The key of DTLS cookies, the same on all shards.
  var cookieKey: HelloCookieKey
  var mailbox: Mailbox<ShardMessage>
  /// The mailboxes of all shards, by number.
  var siblings: [Mailbox<ShardMessage>]
  /// The exchange of media between the shards.
  var exchange: PacketExchange
  var reports: Mailbox<ShardReport>
  /// The board on which the shard publishes its counts.
  var board: ShardBoard
  var log: Log
  var confinement: Confinement?
  /// Whether another process hands over: the shard waits for `ShardMessage.inherit` before it opens its sockets.
  var inherits = false
}

/// A message to a shard.
enum ShardMessage: Sendable {
  /// The store's answer to a look-up; nil keys for an unknown user.
  ///
  /// - Parameter lifetime: the time for which the answer may be cached; nil: `KnownKeys.lifetime`.
  case keys(
    ticket: Handle<PendingRequest>, realm: RealmID, user: UserReference, TURN.CredentialKeys?, lifetime: Duration? = nil
  )
  case keysUnavailable(ticket: Handle<PendingRequest>)
  /// New settings; the cache of the store's answers is emptied.
  case configure(RelaySettings, PeerGate, ServerNames, trustedProxies: [CIDRBlock])
  /// The bans of operators; new connections and requests of these addresses are dropped.
  case bans(BanList)
  case certificates(SecureContexts)
  /// A datagram of a moved client (RFC 8016) that arrived at a shard without its allocation.
  case forwarded(ForwardedDatagram)
  /// A connection whose allocation is on this shard.
  case moved(MovingConnection)
  /// An engine that returns from the handshake thread.
  case handshake(HandshakeJob)
  /// A question about allocations, from the admin endpoint or the event thread.
  case sessions(SessionQuestion)
  /// Begin a capture of a user's messages; nil: end it.
  case capture(CaptureFilter?, CaptureBuffer?)
  /// No content: a shard that works takes it from the mailbox.
  case ping
  /// The records that another process hands over.
  case inherit(ShardInheritance)
  /// A step of a handover to or from another process.
  case handOver(HandoverStep)
  /// Report when no allocation is left.
  case reportWhenIdle
  /// End every allocation and the thread.
  case stop
}

/// A datagram that one shard forwards to another. All shards have the same listeners, but each has its own endpoint
/// numbers.
struct ForwardedDatagram: Sendable {
  var bytes: [UInt8]
  var client: SocketAddress
  var listener: ListenerNumber
  /// The server's address at which it arrived, on a wildcard listener.
  var local: IPAddress?
}

/// A message from a shard or another thread to the main thread.
enum ShardReport: Sendable {
  /// The shard is ready for the records of another process.
  case prepared(shard: Int)
  /// All sockets of the shard are bound.
  case bound(shard: Int, HandoverCounts, closed: Int)
  /// The records of another process cannot be used; the thread has ended.
  case unreadable(shard: Int, RecordError)
  /// The shard has stopped reading from sockets.
  case paused(shard: Int)
  case exported(shard: Int, HandoverPackage)
  /// A socket could not be bound; the thread has ended.
  case failed(shard: Int, ListenerPlan?, Errno)
  case idle(shard: Int)
  /// Most clients have left: the heap can return memory.
  case memoryFreed(shard: Int)
  case stopped(shard: Int)
  /// From the thread of a credential store: the store has changed; with the present content of its realms.
  case storeChanged([RealmID: StoreContent])
}
