public import NetworkTypes
public import Tables

/// The result for one datagram or frame, returned by value without an allocation.
public enum Disposition: Sendable, BitwiseCopyable {
  /// Nothing is sent; the datagram is counted under the cause.
  case drop(DropCause)
  /// `Relay.reply` is sent to the source of the datagram.
  case reply
  /// `count` bytes of the datagram from `offset` on are sent from a relay port to a peer.
  case toPeer(port: Handle<RelayPort>, peer: SocketAddress, offset: Int, count: Int)
  /// `count` bytes of the datagram from `offset` on go to a relayed address of another shard, for its
  /// `Relay.receive(_:fromSibling:to:now:)`. `from` is the relay port that sends them.
  case toShard(Int, from: Handle<RelayPort>, to: SocketAddress, offset: Int, count: Int)
  /// `Relay.reply`, then `count` bytes of the datagram from `offset` on, then `padding` zero bytes are sent to a client
  /// as one message.
  case toClient(ClientPath, offset: Int, count: Int, padding: Int)
  /// The answer comes later, or a command replaces it: the request waits for a credential store, the ledger or a
  /// socket, or the engine has a command to forward or send.
  case deferred
}

/// The reason why a datagram or frame was dropped.
public enum DropCause: UInt8, CaseIterable, Sendable, BitwiseCopyable {
  /// The first byte is neither that of STUN nor that of ChannelData.
  case notSTUN
  /// A STUN or ChannelData message with a malformed header or attribute, or a wrong FINGERPRINT.
  case malformed
  /// A response, or a request or indication whose method the server does not handle.
  case unexpectedMessage
  /// An indication with comprehension-required attributes that we do not know.
  case unknownAttribute
  /// The budget of unauthenticated answers to this address is used up.
  case rateLimited
  /// The budget of unauthenticated answers to all addresses is used up.
  case rateLimitedInAll
  /// No allocation on this five-tuple, or an expired one.
  case noAllocation
  /// ChannelData for a channel that is not bound or has expired.
  case noChannel
  /// No permission for the peer's address, or an expired one.
  case noPermission
  /// The peer rules forbid the address or port.
  case forbiddenPeer
  /// The allocation has no relayed address of the peer's family.
  case familyMismatch
  /// The peer's port is 0, or the allocation is a TCP allocation, which relays no datagrams.
  case invalidPeer
  /// The relay port is closed.
  case noRelayPort
  /// The table of waiting requests is full.
  case tooManyWaiting
  /// The peer's datagram does not fit a message to the client.
  case tooLarge
  /// The allocation's bandwidth in this direction is used up.
  case overBandwidth
  /// The user's bandwidth in this direction is used up.
  case overUserBandwidth
  /// The realm's bandwidth is used up, or the allocation's fair share of it.
  case overRealmBandwidth
  /// The server's bandwidth is used up, or the allocation's fair share of it.
  case overServerBandwidth
  /// The allocation's limit of datagrams a second with the DF bit is reached.
  case overUnfragmented
  /// Plain bytes on a listener that requires encryption.
  case notEncrypted
  /// The packet is for a relayed address of another shard, whose queue is full.
  case shardBusy
  /// Too many logins from the address have failed in this second: no key is tried.
  case tooManyFailures
  /// The limit of look-ups is reached, for the address or in all.
  case tooManyLookUps
  /// An operator has banned the client's address.
  case banned
  /// Too many logins of the address's network have failed in this second, and some of the address: no key is tried.
  case tooManyFailuresInNetwork

  /// Whether the cause is a used-up budget that refills, so that the same request can be answered later. Over datagrams
  /// the client retransmits it; over a stream it never does (RFC 8489 section 6.2.2).
  public var passesLater: Bool {
    switch self {
    case .rateLimited, .rateLimitedInAll, .tooManyFailures, .tooManyFailuresInNetwork, .tooManyWaiting: true
    default: false
    }
  }
}
