internal import Crypto
internal import NetworkTypes
internal import Tables

/// A moved client whose allocation is on another shard, because the kernel chooses the shard by the five-tuple. This
/// shard forwards every datagram from the new five-tuple to the owner.
struct MovedClient: BitwiseCopyable {
  var key: FlatKey
  /// The shard that has the allocation.
  var owner: UInt16
  /// The tag of the ticket's user.
  var user: UInt16
  var lastUsed: Instant

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&key.a)
    try coder.code(&key.b)
    try coder.code(&key.c)
    try coder.code(&owner)
    try coder.code(&user)
    try coder.code(&lastUsed)
  }
}

/// The five-tuples whose datagrams a shard forwards to other shards.
struct MovedClientTable: ~Copyable {
  /// Limit of forwarded five-tuples.
  static let limit = 4096
  /// Limit of five-tuples with tickets of one user: otherwise one ticket, sent from many five-tuples, could fill the
  /// table.
  static let userLimit = 256

  private var records = SlotMap<MovedClient>()
  private var fiveTuples: FlatTable<MovedClient>
  private var counts: [UInt16: Int] = [:]

  init(seeds: inout SeededGenerator) { fiveTuples = FlatTable(seeds: &seeds) }

  @inline(__always) var count: Int { records.count }

  /// Whether one more client with a ticket of this user may be forwarded.
  func hasRoom(for user: UInt16) -> Bool {
    records.count < Self.limit && counts[user, default: 0] < Self.userLimit
  }

  var endpoints: [EndpointID] {
    var endpoints: [EndpointID] = []
    var walk = SlotWalk<MovedClient>()
    while let slot = records.next(&walk) { endpoints.append(ClientPath.endpoint(ofKey: records[slot].key)) }
    return endpoints
  }

  /// The shard with the client's allocation; nil if the client is not forwarded.
  mutating func owner(of client: ClientPath, now: Instant) -> Int? {
    guard let slot = fiveTuples.find(client.key) else { return nil }
    records[slot].lastUsed = now
    return Int(records[slot].owner)
  }

  /// - Parameter lifetime: the silence after which the entry is removed.
  mutating func insert(
    _ client: ClientPath, owner: Int, user: UInt16, now: Instant, lifetime: Duration, timers: inout TimerWheel
  ) {
    insert(
      MovedClient(key: client.key, owner: UInt16(truncatingIfNeeded: owner), user: user, lastUsed: now),
      lifetime: lifetime, timers: &timers)
  }

  mutating func insert(_ record: MovedClient, lifetime: Duration, timers: inout TimerWheel) {
    let slot = records.insert(record)
    counts[record.user, default: 0] += 1
    fiveTuples.insert(record.key, slot)
    _ = timers.schedule(.movedClient(records.handle(of: slot)), at: record.lastUsed.advanced(by: lifetime))
  }

  var all: [MovedClient] {
    var result: [MovedClient] = []
    var walk = SlotWalk<MovedClient>()
    while let slot = records.next(&walk) { result.append(records[slot]) }
    return result
  }

  /// Removes a client that was silent for its lifetime; else sets its timer again.
  mutating func expire(_ handle: Handle<MovedClient>, now: Instant, lifetime: Duration, timers: inout TimerWheel) {
    guard let slot = records.slot(of: handle) else { return }
    let deadline = records[slot].lastUsed.advanced(by: lifetime)
    if deadline > now {
      _ = timers.schedule(.movedClient(handle), at: deadline)
    } else {
      let user = records[slot].user
      counts[user] = counts[user].flatMap { $0 > 1 ? $0 - 1 : nil }
      fiveTuples.remove(records[slot].key)
      records.remove(slot)
    }
  }
}
