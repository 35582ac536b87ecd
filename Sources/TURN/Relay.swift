internal import Crypto
public import NetworkTypes
internal import STUN
internal import Synchronization

/// The server's side of STUN and TURN for one shard (RFC 8489, RFC 8656): a state machine with no socket, no clock,
/// no lock and no log.
///
/// Inputs are datagrams from clients and peers, the answers to its commands, and time. The answer to a datagram is
/// the `Disposition` returned; everything rarer is a `Command`. The one rule: **after each input, take every command
/// with `popCommand()` before giving the next.**
///
/// ```
///   client ──▶ receive(_:from:now:) ──▶ Disposition          keysFound, admitted, relayPortOpened ◀── engine
///   peer   ──▶ receive(_:fromPeer:on:now:) ──▶ Disposition   advance(to:) ◀── time
///                                 └──▶ popCommand() ──▶ engine
/// ```
public struct Relay: ~Copyable {
  /// Nobody reads it. An atomic has an address, and so has whatever contains one: without it the compiler takes a
  /// borrow of this value for a copy of its two kilobytes, for each packet.
  private let place = Atomic<Bool>(false)

  // Parts, in the order in which a packet meets them.
  var settings: RelaySettings
  var gate: PeerGate
  /// Raised with every new `gate`, so that verdicts kept in records are known to be of an older one.
  var rulesGeneration: UInt32 = 0

  /// Five-tuple to allocation.
  var fiveTuples: FlatTable
  /// Allocation and channel number to channel.
  var channelNumbers: FlatTable
  /// Allocation and peer transport address to channel.
  var channelPeers: FlatTable
  /// Relayed transport address (local form) to relay port, of this shard's allocations.
  var ownRelays: FlatTable
  /// Allocation and peer IP address to permission.
  var permissionAddresses: FlatTable

  /// Allocation and peer transport address to peer connection (RFC 6062).
  var connectionPeers: FlatTable
  /// CONNECTION-ID to peer connection.
  var connectionIdentifiers: FlatTable
  /// Connect requests whose connections are still on the way, by index of these.
  var connectRequests: [Int: ConnectRequest] = [:]

  var allocations = Slab<Allocation>()
  /// One entry for each place of `allocations`.
  var details: [AllocationDetails?] = []
  var relayPorts = Slab<RelayPort>()
  var permissions = Slab<Permission>()
  var channels = Slab<Channel>()
  var reservations = Slab<Reservation>()
  /// How many of them each owner has.
  var reservationCounts: [UInt32: Int] = [:]
  var peerConnections = Slab<PeerConnection>()
  var timers: TimerWheel

  /// What a request waits with: a copy of it, or an allocation on its way.
  var waiting = WaitingRoom()

  let relayed: RelayedAddresses
  let limiter: StrangerRateLimiter
  /// Of each allocation and direction, by realm.
  var bandwidths: [BandwidthLimit]
  var limitsBandwidth: Bool
  var portPicker: PortPicker
  var nonces: NonceAuthority
  /// What challenges offer, by realm and the settings of today.
  var offers: [PasswordOffer]
  var authenticator = MessageAuthenticator()
  let tokens: ReservationTokens
  var tickets: MobilityTickets
  let shard: Int
  let shardCount: Int
  /// Five-tuples of clients whose allocation another shard has.
  var elsewhere: FlatTable
  var handOvers = Slab<HandOver>()
  /// Whether the message at hand was passed on by another shard.
  var isHandedOver = false

  var writer = MessageWriter(capacity: 2048)
  var commands: [Command] = []
  var nextCommand = 0

  /// What happened so far, in plain numbers.
  public internal(set) var counters = RelayCounters()

  /// What one shard shares with the others, and what makes it its own.
  public struct Identity: Sendable {
    /// This shard's number and how many there are.
    public var shard: Int
    public var shardCount: Int
    /// 32 bytes, this shard's alone: hash seeds, ports.
    public var seed: [UInt8]
    /// Shared by all shards: nonces, reservation tokens.
    public var sharedKey: [UInt8]

    public init(shard: Int, shardCount: Int, seed: [UInt8], sharedKey: [UInt8]) {
      self.shard = shard
      self.shardCount = shardCount
      self.seed = seed
      self.sharedKey = sharedKey
    }
  }

  public init(
    settings: RelaySettings, gate: PeerGate, relayed: RelayedAddresses, limiter: StrangerRateLimiter,
    identity: Identity, now: Now
  ) {
    var generator = SeededGenerator(seed: identity.seed)
    self.settings = settings
    offers = settings.realms.map { PasswordOffer(settings, $0) }
    bandwidths = settings.realms.map { BandwidthLimit(bytesPerSecond: $0.bandwidthPerAllocation) }
    limitsBandwidth = bandwidths.contains { !$0.isUnlimited }
    self.gate = gate
    self.relayed = relayed
    self.limiter = limiter
    fiveTuples = FlatTable(seed: (generator.next(), generator.next(), generator.next()))
    channelNumbers = FlatTable(seed: (generator.next(), generator.next(), generator.next()))
    channelPeers = FlatTable(seed: (generator.next(), generator.next(), generator.next()))
    ownRelays = FlatTable(seed: (generator.next(), generator.next(), generator.next()))
    permissionAddresses = FlatTable(seed: (generator.next(), generator.next(), generator.next()))
    connectionPeers = FlatTable(seed: (generator.next(), generator.next(), generator.next()))
    connectionIdentifiers = FlatTable(seed: (generator.next(), generator.next(), generator.next()))
    elsewhere = FlatTable(seed: (generator.next(), generator.next(), generator.next()))
    shard = identity.shard
    shardCount = identity.shardCount
    timers = TimerWheel(now: now.instant)
    nonces = NonceAuthority(key: identity.sharedKey)
    tokens = ReservationTokens(key: identity.sharedKey)
    tickets = MobilityTickets(
      key: identity.sharedKey, shard: identity.shard, start: generator.next(below: MobilityTickets.counterBound))
    portPicker = PortPicker(
      relayed: relayed, shard: identity.shard, shardCount: identity.shardCount, generator: generator)
    commands.reserveCapacity(16)
  }

  // MARK: - Outputs

  /// The message that a `reply` or `toClient` disposition speaks of; good until the next input.
  public var reply: RawSpan {
    @_lifetime(borrow self)
    get { writer.bytes }
  }

  /// How many bytes `reply` has.
  public var replyByteCount: Int { writer.count }

  /// Takes the next command; nil once there is none.
  public mutating func popCommand() -> Command? {
    guard nextCommand < commands.count else {
      if nextCommand > 0 {
        commands.removeAll(keepingCapacity: true)
        nextCommand = 0
      }
      return nil
    }
    defer { nextCommand += 1 }
    return commands[nextCommand]
  }

  /// Whether `popCommand` has something to give or to tidy up.
  @inline(__always)
  public var hasCommands: Bool { !commands.isEmpty }

  /// When `advance` is due next; nil while nothing is pending.
  public var nextDeadline: Instant? { timers.nextDeadline() }

  public var allocationCount: Int { allocations.count }

  /// Whether an allocation was made over this five-tuple and is still there.
  public func hasAllocation(_ client: ClientPath) -> Bool { fiveTuples.find(client.key) != nil }

  /// The endpoints that anything here is known by: allocations, requests that wait, ways to other shards.
  public func endpointsInUse() -> Set<EndpointID> {
    var used: Set<EndpointID> = []
    for index in 0..<allocations.upperBound where allocations.isOccupied(index) {
      used.insert(allocations[index].client.endpoint)
      if let pending = details[index]?.mobility?.pending { used.insert(pending.endpoint) }
    }
    for index in 0..<handOvers.upperBound where handOvers.isOccupied(index) {
      used.insert(ClientPath.endpoint(ofKey: handOvers[index].key))
    }
    for request in connectRequests.values { used.insert(request.client.endpoint) }
    return used.union(waiting.endpoints)
  }

  // MARK: - Inputs from the network

  /// A datagram from a client, or one frame of its stream.
  public mutating func receive(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition {
    let disposition = dispatch(bytes, from: client, now: now)
    if case .drop(let cause) = disposition { counters.count(cause) }
    return disposition
  }

  @inline(__always)
  private mutating func dispatch(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition {
    guard bytes.byteCount > 0 else { return .drop(.malformed) }
    if handOvers.count != 0, let disposition = passOn(bytes, from: client, now: now) { return disposition }
    switch bytes.byte(at: 0) {
    case 0x40...0x4F: return receiveChannelData(bytes, from: client, now: now)
    case 0x00...0x03: return receiveMessage(bytes, from: client, now: now)
    default: return .drop(.notSTUN)
    }
  }

  /// Whether there are so many clients that a look-up waits for memory, and `foresee` pays.
  @inline(__always)
  public var needsForesight: Bool { fiveTuples.count >= 512 }

  /// Something from this client is about to be received: what it will be looked up in is fetched meanwhile.
  @inline(__always)
  public func foresee(_ client: ClientPath) { fiveTuples.prefetch(client.key) }

  /// A datagram from a peer on the relay port that `port` names.
  public mutating func receive(
    _ bytes: RawSpan, fromPeer peer: SocketAddress, on port: RecordID, now: Now
  ) -> Disposition {
    let disposition = receivePeerDatagram(bytes.byteCount, from: peer, on: port, now: now)
    if case .drop(let cause) = disposition { counters.count(cause) }
    return disposition
  }

  /// A client's connection is gone: its allocation goes with it, unless the client may move.
  public mutating func connectionClosed(_ client: ClientPath, now: Now) {
    for ticket in waiting.tickets(of: client) {
      guard let request = leaveWaitingRoom(ticket), let pending = request.allocation else { continue }
      giveBack(pending, of: request)
    }
    guard let index = fiveTuples.find(client.key) else { return }
    if !detach(index, from: client) { end(allocation: index, .disconnected, now: now) }
  }

  // MARK: - Other inputs

  /// Counts what the engine had to drop before it could be given to the relay, or after.
  public mutating func countDrop(_ cause: DropCause) { counters.count(cause) }

  /// New settings and peer rules. Allocations keep what they were made with; verdicts are asked anew.
  public mutating func update(settings: RelaySettings, gate: PeerGate) {
    self.settings = settings
    offers = settings.realms.map { PasswordOffer(settings, $0) }
    bandwidths = settings.realms.map { BandwidthLimit(bytesPerSecond: $0.bandwidthPerAllocation) }
    limitsBandwidth = bandwidths.contains { !$0.isUnlimited }
    self.gate = gate
    rulesGeneration &+= 1
    endForbiddenPeerConnections()
  }

  /// Ends every allocation: the drain's time is over.
  public mutating func endAllAllocations(now: Now) {
    for index in 0..<allocations.upperBound where allocations.isOccupied(index) {
      end(allocation: index, .closed, now: now)
    }
  }
}

/// Plain numbers, for metrics.
public struct RelayCounters: Sendable {
  public var drops = InlineArray<32, UInt64>(repeating: 0)
  public var bindings: UInt64 = 0
  public var requests: UInt64 = 0
  public var errors: UInt64 = 0
  public var challenges: UInt64 = 0
  public var allocationsMade: UInt64 = 0
  public var toPeers = TrafficCount()
  public var toClients = TrafficCount()

  mutating func count(_ cause: DropCause) { drops[Int(cause.rawValue)] &+= 1 }

  public func drops(_ cause: DropCause) -> UInt64 { drops[Int(cause.rawValue)] }
}
