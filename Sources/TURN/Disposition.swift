public import NetworkTypes

/// What becomes of one datagram or frame: the frequent answer, returned by value and without allocating.
public enum Disposition: Sendable, BitwiseCopyable {
  /// Nothing is sent; counted under the cause.
  case drop(DropCause)
  /// `Relay.reply` goes back to whom the datagram came from.
  case reply
  /// `count` bytes of the datagram, from `offset` on, go out of a relay port to a peer.
  case toPeer(port: RecordID, peer: SocketAddress, offset: Int, count: Int)
  /// `count` bytes of the datagram, from `offset` on, go to a relayed address that another shard of ours has, for its
  /// `Relay.receive(_:fromSibling:to:now:)`. `from` is the relay port that they would leave by.
  case toShard(Int, from: RecordID, to: SocketAddress, offset: Int, count: Int)
  /// `Relay.reply`, then `count` bytes of the datagram from `offset` on, then `padding` zero bytes go to a client as
  /// one message.
  case toClient(ClientPath, offset: Int, count: Int, padding: Int)
  /// The request waits for somebody (a credential store, the ledger, a socket), and its answer will be a command; or
  /// what is to be done is one already.
  case waiting
}

/// Why a datagram or frame led to nothing.
public enum DropCause: UInt8, CaseIterable, Sendable, BitwiseCopyable {
  /// Neither STUN nor ChannelData by its first byte.
  case notSTUN
  /// STUN or ChannelData that breaks the format.
  case malformed
  /// A response, or a method that is no request or indication of ours.
  case unexpectedMessage
  /// An indication with comprehension-required attributes that we do not know.
  case unknownAttribute
  /// A stranger's budget of answers is used up.
  case rateLimited
  /// No allocation on this five-tuple, or it has just expired.
  case noAllocation
  /// ChannelData for a channel that is not bound, or no longer.
  case noChannel
  /// No permission for the peer's address, or no longer.
  case noPermission
  /// The peer rules forbid the address or port.
  case forbiddenPeer
  /// The peer's family is not that of a relayed address of the allocation.
  case familyMismatch
  /// Port 0.
  case invalidPeer
  /// A relay port that nobody has any more.
  case noRelayPort
  /// More requests wait already than the table holds.
  case tooManyWaiting
  /// The peer's datagram does not fit a message to the client.
  case tooLarge
  /// The allocation's bandwidth in this direction is used up.
  case overBandwidth
  /// Plain bytes on a listener that insists on encryption.
  case notEncrypted
  /// Another shard of ours has the relayed address that the packet is for, and does not keep up.
  case shardBusy
}
