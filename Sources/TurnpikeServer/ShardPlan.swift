internal import Metrics
internal import NetIO
internal import NetworkTypes
internal import TLS
internal import TURN

/// A listener as every shard opens it.
struct ListenerPlan: Sendable, Equatable {
  var transport: TransportProtocol
  var address: SocketAddress
  /// Whether plain and TLS are told apart by the first byte; otherwise the scheme is insisted on.
  var auto: Bool
  /// The number of the realm that its clients belong to.
  var realm: UInt8 = 0
}

/// What connections are encrypted with.
struct SecureContexts: Sendable {
  var stream: TLSContext
  /// Nil where the versions that are allowed leave nothing for DTLS.
  var datagram: TLSContext?
}

/// What a shard is made from. Shared parts are safe to share; everything else is a copy of its own.
struct ShardPlan: Sendable {
  var index: Int
  var engine: DataPlane.Engine
  var identity: Relay.Identity
  var listeners: [ListenerPlan]
  var settings: RelaySettings
  var gate: PeerGate
  var relayed: RelayedAddresses
  var limiter: StrangerRateLimiter
  var ledger: QuotaLedger
  /// The credential stores, by the realms' numbers.
  var credentials: [UInt8: CredentialService]
  var serverNames: ServerNames
  /// Nil where nothing is to be encrypted.
  var contexts: SecureContexts?
  /// What the cookies of DTLS are made with, the same on all shards.
  var cookieKey: [UInt8]
  var mailbox: Mailbox<ShardMessage>
  /// The mailboxes of all shards, by number.
  var siblings: [Mailbox<ShardMessage>]
  /// Media between the shards.
  var exchange: PacketExchange
  var reports: Mailbox<ShardReport>
  var log: Log
}

/// What a shard is told.
enum ShardMessage: Sendable {
  /// The store's answer to a look-up; no keys where it knows no such user.
  case keys(ticket: RecordID, realm: UInt8, user: UserReference, TURN.CredentialKeys?)
  case keysUnavailable(ticket: RecordID)
  /// New settings; what was remembered of the store is forgotten with them.
  case configure(RelaySettings, PeerGate, ServerNames)
  case certificates(SecureContexts)
  /// A datagram of a client that moved (RFC 8016): it came to another shard than the one that has its allocation.
  case handedOver(HandedOverDatagram)
  /// A connection whose allocation this shard has.
  case moved(MovingConnection)
  /// Tell when no allocation is left.
  case reportWhenIdle
  /// End every allocation and the thread.
  case stop
}

/// A datagram as one shard passes it on to another: every shard has the same listeners, and endpoints of its own.
struct HandedOverDatagram: Sendable {
  var bytes: [UInt8]
  var client: SocketAddress
  var listener: Int
  /// The address of ours that it came to, on a wildcard listener.
  var local: IPAddress?
}

/// What a shard tells.
enum ShardReport: Sendable {
  /// All its sockets are bound.
  case bound(shard: Int)
  /// A socket could not be bound; the thread has ended.
  case failed(shard: Int, ListenerPlan?, Errno)
  case idle(shard: Int)
  /// A crowd has left: the heap has much to give back.
  case memoryFreed(shard: Int)
  case stopped(shard: Int)
  /// From the thread of a credential store: it has been changed, and these are its realms' shared secrets now.
  case storeChanged(secrets: [UInt8: [[UInt8]]])
}
