public import Crypto
public import NetworkTypes

/// What the engine is asked to do, apart from forwarding: rare, so it may allocate. The engine empties the queue
/// after every input, in order.
public enum Command: Sendable {
  /// Send a message to a client: the late answer to a request that waited.
  case reply(ClientPath, [UInt8])
  /// Ask the credential store; answered with `Relay.keysFound` or `Relay.keysUnavailable`.
  case lookUpKeys(ticket: RecordID, realm: UInt8, user: UserReference)
  /// Ask the ledger whether this user and address may have one more allocation; answered with `Relay.admitted`.
  case admit(ticket: RecordID, QuotaHolder)
  /// Give back what `admit` took.
  case release(QuotaHolder)
  /// Open a UDP socket on a relayed transport address; answered with `Relay.relayPortOpened` or `relayPortFailed`.
  case openRelayPort(RecordID, SocketAddress)
  /// Close the socket. What arrives on it afterwards is nobody's.
  case closeRelayPort(RecordID)
  /// Tell which of our transport addresses a Binding request came to, with `Relay.receiveLocated`: only the engine
  /// knows, and only NAT behaviour discovery (RFC 5780) asks.
  case locate(ClientPath, [UInt8])
  /// Send to a client from one of our addresses, whichever it asked: RFC 5780.
  case replyFrom(SocketAddress, to: SocketAddress, [UInt8])
  /// Listen for TCP connections on a relayed transport address (RFC 6062); answered like `openRelayPort`. What comes in
  /// is asked about with `Relay.peerAccepted`.
  case openRelayListener(RecordID, SocketAddress)
  /// Close that listener.
  case closeRelayListener(RecordID)
  /// Open a TCP connection to a peer, from a relayed transport address; answered with `Relay.peerConnected` or
  /// `Relay.peerConnectionFailed`.
  case connectPeer(RecordID, from: SocketAddress, to: SocketAddress)
  /// From the answer to the request at hand on, a client's connection and a peer's are one pipe: bytes, no messages.
  case bindPipe(RecordID, ClientPath)
  /// Close a peer's connection, and the client's connection that it is piped to.
  case closePipe(RecordID)
  /// A client's connection belongs to an allocation of another shard: it moves there as a whole, this message first.
  case moveConnection(shard: Int, ClientPath, [UInt8])
  /// Send from a relay port with the DF bit set: rare, so the data is copied.
  case sendUnfragmented(RecordID, SocketAddress, [UInt8])
  /// Pass a client's datagram on to another shard, for its `Relay.receiveHandedOver`.
  case handOver(shard: Int, ClientPath, [UInt8])
  /// Something a log may tell.
  case event(Event)
}

/// What happened, for logs: values that stay true after the call. Addresses and names are for the debug level only.
public enum Event: Sendable, Equatable {
  case allocationCreated(AllocationSummary)
  case allocationEnded(AllocationSummary, EndReason)
  case requestRefused(code: UInt16)
  /// Every relay port of the family is taken.
  case relayPortsExhausted(IPAddress.Family)
}

public enum EndReason: String, Sendable {
  /// Refresh with a lifetime of zero.
  case deleted
  case expired
  /// The client's connection closed.
  case disconnected
  /// The operator, or the end of a drain.
  case closed
}

/// An allocation as a log or a list shows it.
public struct AllocationSummary: Sendable, Equatable {
  public var id: RecordID
  public var username: [UInt8]
  public var client: SocketAddress
  public var transport: TransportProtocol
  public var relayed: SocketAddress
  /// Seconds since it was made.
  public var age: UInt64
  public var toPeers: TrafficCount
  public var toClient: TrafficCount
}

public struct TrafficCount: Sendable, Equatable, BitwiseCopyable {
  public var packets: UInt64 = 0
  public var bytes: UInt64 = 0

  public init() {}

  @inline(__always)
  mutating func add(_ count: Int) {
    packets &+= 1
    bytes &+= UInt64(truncatingIfNeeded: count)
  }
}

/// Whom an allocation counts for.
public struct QuotaHolder: Sendable, Equatable {
  /// The realm's number.
  public var realm: UInt8
  /// Of a time-limited name the part after the first colon; empty: nobody in particular.
  public var user: [UInt8]
  public var address: IPAddress

  public init(realm: UInt8 = 0, user: [UInt8], address: IPAddress) {
    self.realm = realm
    self.user = user
    self.address = address
  }
}

/// How a request names its user.
public enum UserReference: Hashable, Sendable {
  /// USERNAME, as it came.
  case name([UInt8])
  /// USERHASH: 32 bytes (RFC 8489 section 14.4).
  case hash([UInt8])
}

/// The keys of one credential, as a store or the configuration has them.
public struct CredentialKeys: Sendable {
  /// MD5 keys that may be tried: one, or two where SASLprep and OpaqueString prepare the password differently.
  public var md5: [Digest]
  /// The SHA-256 key of RFC 8489, where there is one.
  public var sha256: Digest?
  /// The user's name: for whoever looked it up by its hash.
  public var name: [UInt8]?

  public init(md5: [Digest], sha256: Digest? = nil, name: [UInt8]? = nil) {
    self.md5 = md5
    self.sha256 = sha256
    self.name = name
  }

  mutating func wipe() {
    for index in md5.indices { md5[index].wipe() }
    sha256?.wipe()
  }
}
