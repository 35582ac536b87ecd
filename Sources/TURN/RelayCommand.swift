public import Crypto
public import NetworkTypes
public import Tables

/// A task for the engine, apart from relaying packets. Commands are rare, so they may allocate. The engine empties the
/// queue after every input, in order.
public enum RelayCommand: Sendable {
  /// Send a message to a client: the answer to a request that arrived at `since`, or an indication if `since` is nil.
  case reply(ClientPath, [UInt8], since: Instant?)
  /// Ask the credential store; answered with `Relay.keysFound` or `Relay.keysUnavailable`.
  case lookUpKeys(ticket: Handle<PendingRequest>, realm: RealmID, user: UserReference)
  /// Ask the ledger whether this user and address may have one more allocation; answered with `Relay.admitted`.
  case admit(ticket: Handle<PendingRequest>, QuotaHolder)
  /// Release an admission that `admit` took.
  case release(QuotaHolder)
  /// Open a UDP socket on a relayed transport address; answered with `Relay.relayPortOpened` or `relayPortFailed`.
  case openRelayPort(Handle<RelayPort>, SocketAddress)
  /// Close the socket; drop what still arrives.
  case closeRelayPort(Handle<RelayPort>)
  /// Find the transport address of ours that received a Binding request, and answer with `Relay.receiveLocated`. Only
  /// the engine knows it, and only NAT behaviour discovery (RFC 5780) needs it.
  case locate(ClientPath, [UInt8])
  /// Send to a client from the given one of our addresses: RFC 5780.
  case replyFrom(SocketAddress, to: SocketAddress, [UInt8])
  /// Listen for TCP connections on a relayed transport address (RFC 6062); answered like `openRelayPort`. Each accepted
  /// connection is passed to `Relay.peerAccepted`.
  case openRelayListener(Handle<RelayPort>, SocketAddress)
  /// Close that listener.
  case closeRelayListener(Handle<RelayPort>)
  /// Open a TCP connection to a peer, from a relayed transport address; answered with `Relay.peerConnected` or
  /// `Relay.peerConnectionFailed`.
  case connectPeer(Handle<PeerConnection>, from: SocketAddress, to: SocketAddress)
  /// After the answer to the current request, join a client's connection and a peer's into one pipe, which carries
  /// bytes instead of messages.
  case bindPipe(Handle<PeerConnection>, ClientPath)
  /// Close a peer's connection, and the client's connection in the same pipe.
  case closePipe(Handle<PeerConnection>)
  /// Move a client's whole connection to another shard, which has its allocation; this message is processed there
  /// first.
  case moveConnection(shard: Int, ClientPath, [UInt8])
  /// Send from a relay port with the DF bit set: rare, so the data is copied.
  case sendUnfragmented(Handle<RelayPort>, SocketAddress, [UInt8])
  /// Forward a client's datagram to another shard, for its `Relay.receiveForwarded`.
  case forward(shard: Int, ClientPath, [UInt8])
  /// A message of the user of a capture. Indirect, like `event`: with the values in place every command would be
  /// several times as large, and the queue copies commands.
  indirect case captured(CapturedMessage)
  /// An event for the log.
  indirect case event(RelayEvent)
}

/// The user and the address that an allocation counts for.
public struct QuotaHolder: Sendable, Equatable {
  public var realm: RealmID
  /// For a time-limited name the part after the first colon; empty for anonymous clients, which have no per-user quota.
  public var user: [UInt8]
  public var address: IPAddress

  public init(realm: RealmID = .default, user: [UInt8], address: IPAddress) {
    self.realm = realm
    self.user = user
    self.address = address
  }
}

/// The user that a request names.
public enum UserReference: Hashable, Sendable {
  /// USERNAME, unchanged.
  case name([UInt8])
  /// USERHASH: 32 bytes (RFC 8489 section 14.4).
  case hash([UInt8])
}

/// The keys of one credential, from a store or the configuration.
public struct CredentialKeys: Sendable {
  /// The possible MD5 keys: one, or two if SASLprep and OpaqueString prepare the password differently.
  public var md5: [Digest]
  /// The SHA-256 key of RFC 8489, if there is one.
  public var sha256: Digest?
  /// The user's name, if it was looked up by its hash.
  public var name: [UInt8]?
  /// The user's bandwidth in each direction; `unlimited`: the realm's.
  public var bandwidth: ByteRate

  public init(md5: [Digest], sha256: Digest? = nil, name: [UInt8]? = nil, bandwidth: ByteRate = .unlimited) {
    self.md5 = md5
    self.sha256 = sha256
    self.name = name
    self.bandwidth = bandwidth
  }

  /// The bandwidth as allocations and records of a handover keep it: bytes a second in 32 bits, 0 for the realm's.
  var bandwidthWord: UInt32 {
    get { UInt32(clamping: bandwidth.perSecond.rawValue) }
    set { bandwidth = .bytesPerSecond(UInt64(newValue)) }
  }

  mutating func wipe() {
    for index in md5.indices { md5[index].wipe() }
    sha256?.wipe()
  }
}
