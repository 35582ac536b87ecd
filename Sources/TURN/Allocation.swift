internal import NetworkTypes
internal import STUN

/// The part of an allocation that packets touch (RFC 8656 section 3). Flat: no references, so that copying and
/// finding one costs no reference counting.
///
/// With thousands of allocations a packet's cost is in the cache lines that it has to wait for: what a packet to a
/// peer reads and writes comes first and fits one line of 64 bytes, what one to the client needs beside it the next.
struct Allocation: BitwiseCopyable {
  /// When the last of its relayed addresses expires.
  var expiresAt: Instant
  /// The relay port of each family: index of its record, `.max` where there is none, and its generation.
  var ipv4Port: UInt32 = .max
  var ipv6Port: UInt32 = .max
  var ipv4Generation: UInt32 = 0
  var ipv6Generation: UInt32 = 0
  /// The channel that was used last: most clients have one that is busy.
  var recentChannel: UInt32 = .max
  /// What its relayed addresses speak: UDP, or TCP (RFC 6062).
  var transport = RelayTransport.udp
  /// Whether the client has announced another five-tuple (RFC 8016); the data path looks at nothing else of that.
  var hasPendingMove = false
  var toPeers = TrafficCount()
  var toClient = TrafficCount()
  var client: ClientPath
  var toPeersBucket = BandwidthBucket()
  var toClientBucket = BandwidthBucket()
  /// First of this allocation's permissions and channels, each linked to the next.
  var firstPermission: UInt32 = .max
  var firstChannel: UInt32 = .max
  var permissionCount: UInt32 = 0
  var channelCount: UInt32 = 0
  var timer: UInt32 = .max
  /// First of a TCP allocation's peer connections, each linked to the next, and how many there are.
  var firstConnection: UInt32 = .max
  var connectionCount: UInt32 = 0
  var icmpBucket = BandwidthBucket()
  var unfragmentedBucket = BandwidthBucket()

  init(client: ClientPath, expiresAt: Instant) {
    self.client = client
    self.expiresAt = expiresAt
  }

  @inline(__always)
  func port(for family: IPAddress.Family) -> UInt32 { family == .ipv4 ? ipv4Port : ipv6Port }

  /// The name of a family's relay port, which there is.
  @inline(__always)
  func portID(for family: IPAddress.Family) -> RecordID {
    family == .ipv4
      ? RecordID(index: ipv4Port, generation: ipv4Generation) : RecordID(index: ipv6Port, generation: ipv6Generation)
  }
}

/// The part of an allocation that only requests touch.
struct AllocationDetails {
  /// The number of the realm that the name is of.
  var realm: UInt8
  /// The whole name that made it: who owns it (441).
  var username: [UInt8]
  /// Whom quotas count it for.
  var quotaName: [UInt8]
  /// What the owner's messages are checked and answered with for as long as it lives; nil for anonymous.
  var keys: CredentialKeys?
  /// Seconds since 1970 when the access token that the keys are of ends; nil for other credentials.
  var credentialEnd: UInt64?
  /// The transaction that made it, to answer its retransmissions alike (RFC 8656 section 7.2).
  var transactionID: TransactionID
  var grantedLifetime: UInt32
  var reservationToken: UInt64?
  /// What its retransmissions are told of a family that could not be had (RFC 8656 section 7.2, step 9).
  var addressError: (family: IPAddress.Family, code: ErrorCode)?
  var createdAt: Instant
  /// The address that the quota counts it for: a client may move, its place in the quota does not.
  var admittedAddress: IPAddress
  /// Nil where the client did not ask for a ticket.
  var mobility: Mobility?
}

/// A relayed transport address with an open socket, or on the way to one.
struct RelayPort: BitwiseCopyable {
  /// Index of the allocation, `.max` while it is only being opened.
  var allocation: UInt32 = .max
  /// Which of `RelayedAddresses.entries`.
  var ordinal: UInt8
  var port: UInt16
  var family: IPAddress.Family
  var transport: RelayTransport
  /// The request that it is opened for.
  var ticket: RecordID
  /// Each family of a dual allocation can be refreshed by itself.
  var expiresAt: Instant
  /// Whether the next higher port is claimed with it, until the allocation reserves it.
  var claimsNext: Bool
}

/// The upper port of a pair, held for whoever shows its token (RFC 8656 section 7.2).
struct Reservation: BitwiseCopyable {
  var ordinal: UInt8
  var port: UInt16
  /// Which reservation of the port: `RelayedAddresses.reserve`.
  var stamp: UInt32
  /// The `PortOwner` that it counts for.
  var owner: UInt32
}

/// Permission to exchange data with one IP address (RFC 8656 section 9).
struct Permission: BitwiseCopyable {
  var allocation: UInt32
  var address: IPAddress
  var expiresAt: Instant
  var verdict: AddressVerdict
  /// Which edition of the peer rules the verdict is of.
  var rulesGeneration: UInt32
  var timer: UInt32 = .max
  var previous: UInt32 = .max
  var next: UInt32 = .max
}

/// A channel bound to a peer's transport address (RFC 8656 section 12). What packets read comes first and fits a line
/// of 64 bytes.
struct Channel: BitwiseCopyable {
  var allocation: UInt32
  var number: UInt16
  var verdict: AddressVerdict
  /// Whether the peer is reached at another address than the one that the client names: ours, behind one that we
  /// advertise.
  var isTranslated: Bool
  var expiresAt: Instant
  /// The peer as the client named it.
  var peer: SocketAddress
  /// The permission of the peer's address, looked up again when this name has gone stale.
  var permission: RecordID
  var rulesGeneration: UInt32
  var timer: UInt32 = .max
  var previous: UInt32 = .max
  var next: UInt32 = .max
}
