public import NetworkTypes
internal import STUN

/// Clients whose messages reach another shard than that of their allocation.
extension Relay {
  /// A client refreshes its allocation within the longest lifetime: after longer silence it has no allocation.
  var movedClientLifetime: Duration { max(settings.policy.maximumLifetime, .seconds(600)) }

  /// Forwards a message, and all later messages of the client, to the shard of an allocation. A stream's connection
  /// moves there as a whole. Nil if the client cannot be forwarded.
  ///
  /// - Parameter user: the tag of a ticket's user; nil for a stream, which gets no entry in `moved`.
  mutating func forward(
    _ bytes: RawSpan, to owner: Int, of user: UInt16?, from client: ClientPath, now: Now
  ) -> Disposition? {
    guard owner < shardCount, owner != shard, !isForwarded, allocations.find(client) == nil else { return nil }
    if client.transport.isStream {
      commands.append(.moveConnection(shard: owner, client, bytes.copied()))
      return .deferred
    }
    // A DTLS association stays on the shard of its handshake.
    guard client.connection == nil, let user else { return nil }
    guard moved.hasRoom(for: user) else {
      recordLimit(.handOvers, client, now: now)
      return nil
    }
    moved.insert(client, owner: owner, user: user, now: now.instant, lifetime: movedClientLifetime, timers: &timers)
    commands.append(.forward(shard: owner, client, bytes.copied()))
    return .deferred
  }

  /// Forwards a datagram of a client whose allocation is on another shard; nil for all other clients.
  mutating func forwardToOwner(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition? {
    guard !isForwarded, let owner = moved.owner(of: client, now: now.instant) else { return nil }
    commands.append(.forward(shard: owner, client, bytes.copied()))
    return .deferred
  }

  /// Receives a datagram that another shard has forwarded, with the client's path on this shard. It is not forwarded
  /// again.
  public mutating func receiveForwarded(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition {
    isForwarded = true
    defer { isForwarded = false }
    return receive(bytes, from: client, now: now)
  }
}
