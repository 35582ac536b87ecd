internal import Crypto
internal import NetworkTypes
internal import STUN
public import Tables

/// A TCP connection between a relayed transport address and a peer: a peer data connection (RFC 6062 section 3).
public struct PeerConnection: BitwiseCopyable, ListElement {
  enum State: UInt8 {
    /// Connecting to the peer, for a Connect request.
    case connecting
    /// Open, and waiting for the client's ConnectionBind.
    case unbound
    /// Joined with a client's connection.
    case bound
    /// The connection failed, and the client has no answer yet.
    case failed
  }

  var allocation: Slot<Allocation>
  var peer: PeerAddress
  var state: State
  /// CONNECTION-ID; 0 until the connection is open.
  var identifier: UInt32 = 0
  /// The time at which the connection is given up, unless it is bound.
  var expiresAt: Instant
  var timer = TimerWheel.TimerHandle()
  public var links = ListLinks<PeerConnection>()
}

/// A Connect request that waits for its connection.
struct ConnectRequest {
  var client: ClientPath
  var transactionID: TransactionID
  var principal: Principal
  var hasFingerprint: Bool
  /// Nil if an older program, whose records do not have it, has handed the request over.
  var arrivedAt: Instant?
}

/// The peer connections of a shard's allocations: by peer, by CONNECTION-ID, and in a list for each allocation.
struct PeerConnectionTable: ~Copyable {
  private var records = SlotMap<PeerConnection>()
  /// Allocation and peer transport address to peer connection.
  private var peers: FlatTable<PeerConnection>
  private var identifiers: FlatTable<PeerConnection>
  private var requests: [Slot<PeerConnection>: ConnectRequest] = [:]

  init(seeds: inout SeededGenerator) {
    peers = FlatTable(seeds: &seeds)
    identifiers = FlatTable(seeds: &seeds)
  }

  var count: Int { records.count }
  /// The number of entries in the indices.
  var indexedCount: Int { peers.count + identifiers.count }

  subscript(slot: Slot<PeerConnection>) -> PeerConnection {
    unsafeAddress { unsafe UnsafePointer(records.address(of: slot)) }
    unsafeMutableAddress { unsafe records.address(of: slot) }
  }

  /// An allocation's connection to a peer.
  func find(_ peer: PeerAddress, of allocation: Slot<Allocation>) -> Slot<PeerConnection>? {
    peers.find(FlatKey(peer, of: allocation))
  }

  /// The connection that waits to be bound with a CONNECTION-ID; nil if there is none or if it has expired.
  func find(unbound identifier: UInt32, now: Instant) -> Slot<PeerConnection>? {
    guard let slot = identifiers.find(FlatKey(UInt64(identifier))), records[slot].state == .unbound,
      records[slot].expiresAt > now
    else { return nil }
    return slot
  }

  /// Whether a live connection has this CONNECTION-ID.
  func hasIdentifier(_ identifier: UInt32) -> Bool { identifiers.find(FlatKey(UInt64(identifier))) != nil }

  /// The connection of a handle; nil if it has been removed.
  func slot(of handle: Handle<PeerConnection>) -> Slot<PeerConnection>? { records.slot(of: handle) }

  func handle(of slot: Slot<PeerConnection>) -> Handle<PeerConnection> { records.handle(of: slot) }

  /// The connection after another one in its allocation's list.
  func next(after slot: Slot<PeerConnection>, in list: OwnedList<PeerConnection>) -> Slot<PeerConnection>? {
    list.next(after: slot, in: records)
  }

  /// The next connection of a walk over all connections.
  func next(_ walk: inout SlotWalk<PeerConnection>) -> Slot<PeerConnection>? { records.next(&walk) }

  /// The clients whose Connect requests wait.
  var waitingClients: [ClientPath] { requests.values.map(\.client) }

  /// Adds a connection to its allocation's list and sets its timer.
  ///
  /// - Parameter request: the Connect request of the connection.
  mutating func insert(
    _ connection: PeerConnection, for request: ConnectRequest? = nil, to list: inout OwnedList<PeerConnection>,
    timers: inout TimerWheel
  ) -> Slot<PeerConnection> {
    let slot = records.insert(connection)
    list.insert(slot, in: &records)
    peers.insert(FlatKey(connection.peer, of: connection.allocation), slot)
    requests[slot] = request
    setTimer(of: slot, timers: &timers)
    return slot
  }

  var shape: SlotMap<PeerConnection>.Shape { records.shape }

  /// Empties the table for `restore`; false if no table can have this shape.
  mutating func beginRestoring(_ shape: SlotMap<PeerConnection>.Shape) -> Bool {
    guard let map = SlotMap<PeerConnection>(restoring: shape) else { return false }
    records = map
    return true
  }

  mutating func finishRestoring() { records.finishRestoring() }

  /// Inserts a connection of another process under its handle; false if the handle is in use.
  mutating func restore(
    _ connection: PeerConnection, for request: ConnectRequest?, at handle: Handle<PeerConnection>,
    to list: inout OwnedList<PeerConnection>, timers: inout TimerWheel
  ) -> Bool {
    guard records.restore(connection, at: handle), let slot = records.slot(of: handle) else { return false }
    list.insert(slot, in: &records)
    peers.insert(FlatKey(connection.peer, of: connection.allocation), slot)
    if connection.identifier != 0 { identifiers.insert(FlatKey(UInt64(connection.identifier)), slot) }
    requests[slot] = request
    if connection.state != .bound { setTimer(of: slot, timers: &timers) }
    return true
  }

  /// The Connect request of a connection.
  func request(of slot: Slot<PeerConnection>) -> ConnectRequest? { requests[slot] }

  /// Takes the Connect request of a connection.
  mutating func takeRequest(of slot: Slot<PeerConnection>) -> ConnectRequest? { requests.removeValue(forKey: slot) }

  /// Gives an open connection its CONNECTION-ID, and the client until `deadline` to bind it.
  mutating func awaitBind(
    _ slot: Slot<PeerConnection>, as identifier: UInt32, until deadline: Instant, timers: inout TimerWheel
  ) {
    records[slot].state = .unbound
    records[slot].identifier = identifier
    records[slot].expiresAt = deadline
    identifiers.insert(FlatKey(UInt64(identifier)), slot)
    timers.cancel(records[slot].timer)
    setTimer(of: slot, timers: &timers)
  }

  /// Marks a connection as bound by the client, and cancels its timer.
  mutating func bind(_ slot: Slot<PeerConnection>, timers: inout TimerWheel) {
    timers.cancel(records[slot].timer)
    records[slot].timer = TimerWheel.TimerHandle()
    records[slot].state = .bound
  }

  /// The number of connections with an open or requested socket: all except failed ones. It loops over all connections.
  var openCount: Int {
    var count = 0
    var walk = SlotWalk<PeerConnection>()
    while let slot = records.next(&walk) {
      if records[slot].state != .failed { count += 1 }
    }
    return count
  }

  /// Marks a connection as failed; its client gets the answer when the timer fires.
  mutating func fail(_ slot: Slot<PeerConnection>, tellAt deadline: Instant, timers: inout TimerWheel) {
    records[slot].state = .failed
    records[slot].expiresAt = deadline
    timers.cancel(records[slot].timer)
    setTimer(of: slot, timers: &timers)
  }

  private mutating func setTimer(of slot: Slot<PeerConnection>, timers: inout TimerWheel) {
    records[slot].timer = timers.schedule(.peerConnection(records.handle(of: slot)), at: records[slot].expiresAt)
  }

  /// Removes a connection from the table, its list and the timers.
  mutating func remove(
    _ slot: Slot<PeerConnection>, from list: inout OwnedList<PeerConnection>, timers: inout TimerWheel
  ) {
    list.remove(slot, in: &records)
    let connection = records.remove(slot)
    timers.cancel(connection.timer)
    requests[slot] = nil
    peers.remove(FlatKey(connection.peer, of: connection.allocation))
    if connection.identifier != 0 { identifiers.remove(FlatKey(UInt64(connection.identifier))) }
  }
}
