public import NetworkTypes
internal import STUN

/// A client that moved may reach another shard than the one that has its allocation: the kernel chooses by the
/// five-tuple. That shard passes everything from the new five-tuple on.
struct HandOver: BitwiseCopyable {
  var key: FlatKey
  var shard: UInt16
  var lastUsed: Instant
}

extension Relay {
  /// How many five-tuples are passed on at the most.
  static let handOverLimit = 4096

  /// Passes a message on to the shard of an allocation, and everything that comes from that client from now on; a
  /// connection of a stream moves there as a whole. Nil where that cannot be.
  mutating func handOver(_ bytes: RawSpan, to owner: Int, from client: ClientPath, now: Now) -> Disposition? {
    guard owner < shardCount, owner != shard, !isHandedOver, fiveTuples.find(client.key) == nil else { return nil }
    if client.transport.isStream {
      commands.append(.moveConnection(shard: owner, client, bytes.copied()))
      return .waiting
    }
    // A DTLS association stays with the shard that shook hands.
    guard client.connection == .none, handOvers.count < Self.handOverLimit else { return nil }
    let index = handOvers.insert(
      HandOver(key: client.key, shard: UInt16(truncatingIfNeeded: owner), lastUsed: now.instant))
    elsewhere.insert(client.key, index)
    scheduleHandOver(index)
    commands.append(.handOver(shard: owner, client, bytes.copied()))
    return .waiting
  }

  /// Passes on what comes from a client whose allocation is elsewhere; nil for everybody else.
  mutating func passOn(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition? {
    guard !isHandedOver, let index = elsewhere.find(client.key) else { return nil }
    handOvers[index].lastUsed = now.instant
    commands.append(.handOver(shard: Int(handOvers[index].shard), client, bytes.copied()))
    return .waiting
  }

  /// A datagram that another shard has passed on, with the client's path as this shard knows it. It goes no further.
  public mutating func receiveHandedOver(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition {
    isHandedOver = true
    defer { isHandedOver = false }
    return receive(bytes, from: client, now: now)
  }

  // An allocation is refreshed once in the longest lifetime at least: a client that is silent for longer has none.

  private func deadline(ofHandOver index: Int) -> Instant {
    handOvers[index].lastUsed.advanced(bySeconds: max(settings.maximumLifetime, 600))
  }

  private mutating func scheduleHandOver(_ index: Int) {
    _ = timers.schedule(.handOver, handOvers.id(of: index), at: deadline(ofHandOver: index))
  }

  mutating func expireHandOver(_ id: RecordID, now: Now) {
    guard let index = handOvers.index(of: id) else { return }
    if deadline(ofHandOver: index) > now.instant {
      scheduleHandOver(index)
    } else {
      elsewhere.remove(handOvers[index].key)
      handOvers.remove(index)
    }
  }
}
