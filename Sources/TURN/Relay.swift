internal import Crypto
public import NetworkTypes
internal import STUN
internal import Synchronization
public import Tables

/// The server's side of STUN and TURN for one shard (RFC 8489, RFC 8656): a state machine with no socket, no clock, no
/// lock and no log.
///
/// Inputs are datagrams from clients and peers, answers to commands, and time. A datagram's result is the returned
/// `Disposition`; rarer results are `Command`s. The only rule for callers: **after each input, take every command with
/// `popCommand()` before the next input.**
///
/// ```
///   client ──▶ receive(_:from:now:) ──▶ Disposition          keysFound, admitted, relayPortOpened ◀── engine
///   peer   ──▶ receive(_:fromPeer:on:now:) ──▶ Disposition   advance(to:) ◀── time
///                                 └──▶ popCommand() ──▶ engine
/// ```
public struct Relay: ~Copyable {
  private let addressOnly = AddressOnly()

  // Parts, in the order in which a packet uses them.
  private(set) var settings: RelaySettings
  private(set) var rules: CurrentRules
  private(set) var realms: RealmTable
  var bans = BanList()

  var allocations: AllocationTable
  var relayPorts: RelayPortTable
  var channels: ChannelTable
  var permissions: PermissionTable
  /// How media arrives, two records for each allocation with a permission.
  var qualities = SlotMap<PathQuality>()
  /// TCP connections to peers (RFC 6062).
  var peerConnections: PeerConnectionTable
  var reservations = ReservationTable()
  /// Requests that wait for a store, the ledger or a socket.
  var pending: PendingRequests
  var moved: MovedClientTable
  var timers: TimerWheel

  // Shared by all shards.
  private(set) var relayed: RelayedAddresses
  let limiter: StrangerRateLimiter
  let users: UserRateLimiter
  /// The shared limits on bandwidth, with this shard's part.
  var bandwidth: SharedBandwidth

  var portPicker: PortPicker
  var nonces: NonceAuthority
  var challengeTimes = ChallengeTimes()
  var authenticator = MessageAuthenticator()
  var timeLimitedKeys = TimeLimitedKeys()
  let tokens: ReservationTokens
  var tickets: MobilityTickets
  let shard: Int
  let shardCount: Int
  /// Whether another shard has forwarded the current message.
  var isForwarded = false

  /// Nil while no capture runs.
  var captureState: CaptureState?
  var eventBudget = EventBudget()
  var limitNotices = LimitNotices<RelayLimit>()
  var writer = MessageWriter(capacity: 2048)
  var commands = CommandQueue()

  /// Counters since the start.
  public internal(set) var counters = RelayCounters()

  /// The identity of a shard among the others.
  public struct Identity: Sendable {
    /// This shard's number, and the number of shards.
    public var shard: Int
    public var shardCount: Int
    /// 32 bytes of this shard only: for hash seeds and ports.
    public var seed: [UInt8]
    /// 32 bytes shared by all shards: for nonces and reservation tokens.
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
    users: UserRateLimiter, bandwidth: BandwidthPools, strangersMemory: StrangersMemory = StrangersMemory(limit: .zero),
    identity: Identity, now: Now
  ) {
    var generator = SeededGenerator(seed: identity.seed)
    self.settings = settings
    realms = RealmTable(settings)
    rules = CurrentRules(gate)
    self.relayed = relayed
    self.limiter = limiter
    self.users = users
    self.bandwidth = SharedBandwidth(settings, bandwidth)
    allocations = AllocationTable(seeds: &generator)
    channels = ChannelTable(seeds: &generator)
    relayPorts = RelayPortTable(seeds: &generator)
    permissions = PermissionTable(seeds: &generator)
    peerConnections = PeerConnectionTable(seeds: &generator)
    moved = MovedClientTable(seeds: &generator)
    pending = PendingRequests(memory: strangersMemory)
    shard = identity.shard
    shardCount = identity.shardCount
    timers = TimerWheel(now: now.instant)
    nonces = NonceAuthority(key: identity.sharedKey)
    tokens = ReservationTokens(key: identity.sharedKey)
    tickets = MobilityTickets(
      key: identity.sharedKey, shard: identity.shard, start: generator.next(below: MobilityTickets.counterBound))
    portPicker = PortPicker(
      relayed: relayed, shard: identity.shard, shardCount: identity.shardCount, generator: generator)
  }

  // MARK: - Outputs

  /// The message of a `reply` or `toClient` disposition; valid until the next input.
  public var reply: RawSpan {
    @_lifetime(borrow self)
    get { writer.bytes }
  }

  /// The number of bytes in `reply`.
  public var replyByteCount: Int { writer.count }

  /// Takes the next command; nil if there is none.
  public mutating func popCommand() -> RelayCommand? { commands.pop() }

  /// Whether `popCommand` must be called.
  @inline(__always)
  public var hasCommands: Bool { !commands.isEmpty }

  /// The time of the next `advance`; nil without timers.
  public var nextDeadline: Instant? { timers.nextDeadline() }

  /// The number of live allocations of this shard, and of expired ones until their timers fire.
  public var allocationCount: Int { allocations.count }

  /// Whether this five-tuple has an allocation.
  public func hasAllocation(_ client: ClientPath) -> Bool { allocations.find(client) != nil }

  /// The endpoints in use by allocations, waiting requests and moved clients.
  public func endpointsInUse() -> Set<EndpointID> {
    var used = pending.endpoints.union(moved.endpoints)
    var walk = SlotWalk<Allocation>()
    while let slot = allocations.next(&walk) {
      used.insert(allocations[slot].client.endpoint)
      if let pending = allocations[slot].details.mobility?.pending { used.insert(pending.endpoint) }
    }
    for client in peerConnections.waitingClients { used.insert(client.endpoint) }
    return used
  }

  // MARK: - Inputs from the network

  /// Receives a datagram from a client, or one frame of its stream.
  public mutating func receive(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition {
    let disposition = dispatch(bytes, from: client, now: now)
    if case .drop(let cause) = disposition { countDrop(cause, of: client, now: now) }
    return disposition
  }

  @inline(__always)
  private mutating func dispatch(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition {
    guard bytes.byteCount > 0 else { return .drop(.malformed) }
    if moved.count != 0, let disposition = forwardToOwner(bytes, from: client, now: now) { return disposition }
    switch bytes.byte(at: 0) {
    // The range includes numbers that cannot be bound: the look-up finds no channel for them.
    case 0x40...0x7F: return receiveChannelData(bytes, from: client, now: now)
    case 0x00...0x03:
      if isBanned(bytes, from: client) { return .drop(.banned) }
      return isCapturing
        ? receiveCaptured(bytes, from: client, now: now) : receiveMessage(bytes, from: client, now: now)
    default: return .drop(.notSTUN)
    }
  }

  /// Whether there are so many clients that look-ups miss the cache, so that `prefetch` saves time.
  @inline(__always)
  public var shouldPrefetch: Bool { allocations.fiveTupleCount >= 512 }

  /// Prefetches the table entry of a client whose datagram is received soon.
  @inline(__always)
  public func prefetch(_ client: ClientPath) { allocations.prefetch(client) }

  // MARK: - Other inputs

  /// Counts a datagram that the engine dropped before or after the relay.
  public mutating func countDrop(_ cause: DropCause) { counters.count(cause) }

  /// Counts a dropped datagram of a client, also in its allocation; a limit that was reached makes an event.
  public mutating func countDrop(_ cause: DropCause, of client: ClientPath, now: Now) {
    counters.count(cause)
    if let kind = cause.kindForAllocation, let slot = allocations.find(client) {
      allocations[slot].details.drops.count(kind)
    }
    if let limit = cause.limit { recordLimit(limit, client, now: now) }
  }

  /// Counts a dropped datagram to or from a relay port, also in the port's allocation.
  public mutating func countDrop(_ cause: DropCause, on handle: Handle<RelayPort>, now: Now) {
    counters.count(cause)
    let kind = cause.kindForAllocation
    let limit = cause.limit
    guard kind != nil || limit != nil, let port = relayPorts.slot(of: handle),
      let allocation = relayPorts[port].allocation
    else { return }
    if let kind { allocations[allocation].details.drops.count(kind) }
    if let limit { recordLimit(limit, allocations[allocation].client, now: now) }
  }

  /// Applies new settings and peer rules. Allocations keep their lifetimes and keys; verdicts on peers are renewed.
  public mutating func update(settings: RelaySettings, gate: PeerGate) {
    self.settings = settings
    realms = RealmTable(settings)
    bandwidth.update(settings)
    timeLimitedKeys.forgetAll()
    relayed = gate.relayed
    rules.replace(by: gate)
    endForbiddenPeerConnections()
  }
}

/// Never read. An atomic makes `Relay` address-only; without it Swift 6.3 copies its 2 KiB for each borrow, which
/// happens for each packet.
private struct AddressOnly: ~Copyable {
  private let atomic = Atomic<Bool>(false)
}
