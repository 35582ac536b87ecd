internal import NetIO
internal import NetworkTypes
internal import System
internal import TLS
internal import Tables

/// A listening TCP socket of one shard.
struct ClientListener: ~Copyable {
  let socket: StreamListener
  let number: ListenerNumber
}

/// The TCP and TLS clients of one shard: its listeners, its connections, and the connections to flush or move at the
/// end of the turn.
struct StreamClients: ~Copyable {
  private var listeners = SlotMap<ClientListener>()
  private var pausedListeners: [Slot<ClientListener>] = []
  private var connections = SlotMap<Connection>()
  /// Connections to flush at the end of the turn, from `nextDirty` on.
  private var dirty: [Slot<Connection>] = []
  private var nextDirty = 0
  /// Connections that move to other shards at the end of the turn.
  private var leaving: [Handle<Connection>] = []
  /// Connections whose reading is paused, the oldest pause first, from `nextPaused` on.
  private var paused: [(connection: Handle<Connection>, until: Instant)] = []
  private var nextPaused = 0
  /// Nil without a certificate.
  var context: TLSContext?
  /// Whether the handshake thread may still have engines of closed connections.
  var hasDiscarded = false
  /// Connections of unauthenticated clients.
  var strangers = FairQueue<Handle<Connection>>()
  /// The memory that is charged for them.
  var charged = ChargedBytes()
  /// The unauthenticated connections that are in a TLS handshake.
  var unfinished = FairQueue<Handle<Connection>>()

  /// Limit of connections of one shard; a further one is closed at once.
  static let limit = 32_768
  /// Limits of handshakes, in all and from one address (IPv6: its /56). Beyond them the oldest handshake of the
  /// heaviest address, or of this address, is closed.
  static let unfinishedLimit = 1024
  static let unfinishedPerAddress = 32
  /// The longest time without a whole message on a connection without an allocation.
  static let strangerTimeout = Duration.seconds(60)
  /// The timeout of a TLS handshake, and then of the first message.
  static let handshakeTimeout = Duration.seconds(10)
  /// The pause of a connection whose request waits for a budget.
  static let pause = Duration.milliseconds(250)
  /// The size of one read from an unauthenticated client, in bytes.
  static let strangerReading = 4 << 10

  init(context: TLSContext?) { self.context = context }

  /// The connection to close before one more handshake of this address.
  func unfinishedVictim(for address: IPAddress) -> Handle<Connection>? {
    if unfinished.count(of: address) >= Self.unfinishedPerAddress { return unfinished.oldest(of: address) }
    return unfinished.count >= Self.unfinishedLimit ? unfinished.heaviest : nil
  }

  // MARK: - Listeners

  /// Adds a listener and returns the handle that its events name.
  mutating func add(_ socket: consuming StreamListener, number: ListenerNumber) -> Handle<ClientListener> {
    let slot = listeners.insert(ClientListener(socket: socket, number: number))
    return listeners.handle(of: slot)
  }

  /// The socket of a listener; nil for datagrams.
  func listener(_ number: ListenerNumber) -> Slot<ClientListener>? {
    var walk = SlotWalk<ClientListener>()
    while let slot = listeners.next(&walk) {
      if listeners[slot].number == number { return slot }
    }
    return nil
  }

  /// Closes a listener.
  mutating func removeListener(_ slot: Slot<ClientListener>) {
    pausedListeners.removeAll { $0 == slot }
    _ = listeners.remove(slot)
  }

  func slot(of handle: Handle<ClientListener>) -> Slot<ClientListener>? { listeners.slot(of: handle) }

  func handle(of slot: Slot<ClientListener>) -> Handle<ClientListener> { listeners.handle(of: slot) }

  subscript(slot: Slot<ClientListener>) -> ClientListener { _read { yield listeners[slot] } }

  /// Records a paused listener, until `takePausedListeners`.
  mutating func pause(_ slot: Slot<ClientListener>) { pausedListeners.append(slot) }

  var hasPausedListeners: Bool { !pausedListeners.isEmpty }

  mutating func takePausedListeners() -> [Slot<ClientListener>] {
    guard !pausedListeners.isEmpty else { return [] }
    defer { pausedListeners = [] }
    return pausedListeners
  }

  // MARK: - Connections

  var count: Int { connections.count }
  var isFull: Bool { connections.count >= Self.limit }

  subscript(slot: Slot<Connection>) -> Connection {
    @inline(__always) _read { yield connections[slot] }
    @inline(__always) _modify { yield &connections[slot] }
  }

  /// The connection of a handle; nil if it is closed.
  @inline(__always)
  func slot(of handle: Handle<Connection>) -> Slot<Connection>? { connections.slot(of: handle) }

  @inline(__always)
  func handle(of slot: Slot<Connection>) -> Handle<Connection> { connections.handle(of: slot) }

  func isTaken(_ slot: Slot<Connection>) -> Bool { connections.isTaken(slot) }

  /// The next connection of a walk over all of them. Closing one may close others, which the walk skips.
  func next(_ walk: inout SlotWalk<Connection>) -> Slot<Connection>? { connections.next(&walk) }

  var shape: SlotMap<Connection>.Shape { connections.shape }

  /// Empties the table for `restore`; false if no table can have this shape.
  mutating func beginRestoring(_ shape: SlotMap<Connection>.Shape) -> Bool {
    guard let map = SlotMap<Connection>(restoring: shape) else { return false }
    connections = map
    return true
  }

  /// Inserts a connection of another process under its handle; false if the handle is in use.
  mutating func restore(_ connection: consuming Connection, at handle: Handle<Connection>) -> Bool {
    connections.restore(connection, at: handle)
  }

  mutating func finishRestoring() { connections.finishRestoring() }

  mutating func insert(_ connection: consuming Connection) -> Slot<Connection> { connections.insert(connection) }

  mutating func remove(_ slot: Slot<Connection>) -> Connection { connections.remove(slot) }

  // MARK: - The end of the turn

  /// Marks a connection to be flushed at the end of the turn.
  @inline(__always)
  mutating func markDirty(_ slot: Slot<Connection>) {
    guard !connections[slot].isDirty else { return }
    connections[slot].isDirty = true
    dirty.append(slot)
  }

  /// Takes the next connection to flush and marks it clean; nil if there is none. Flushing one may mark another.
  @inline(__always)
  mutating func takeDirty() -> Slot<Connection>? {
    while nextDirty < dirty.count {
      let slot = dirty[nextDirty]
      nextDirty += 1
      // The connection may be closed; a new one in its slot has its own entry if it is dirty.
      guard connections.isTaken(slot), connections[slot].isDirty else { continue }
      connections[slot].isDirty = false
      return slot
    }
    if nextDirty > 0 {
      dirty.removeAll(keepingCapacity: true)
      nextDirty = 0
    }
    return nil
  }

  // MARK: - Pauses

  /// The end of the first pause; nil if no connection is paused.
  var nextResume: Instant? { nextPaused < paused.count ? paused[nextPaused].until : nil }

  /// Pauses reading from a connection.
  mutating func pause(_ slot: Slot<Connection>, now: Instant) {
    connections[slot].isPaused = true
    paused.append((connections.handle(of: slot), now.advanced(by: Self.pause)))
  }

  /// Takes the connections whose pause has ended, without those that are closed.
  mutating func takeResumable(now: Instant) -> [Handle<Connection>] {
    var resumable: [Handle<Connection>] = []
    while nextPaused < paused.count, paused[nextPaused].until <= now {
      let handle = paused[nextPaused].connection
      nextPaused += 1
      guard let slot = connections.slot(of: handle) else { continue }
      connections[slot].isPaused = false
      resumable.append(handle)
    }
    // Entries are removed only when half of the list is used up: constant time on average.
    if nextPaused > paused.count / 2 {
      paused.removeFirst(nextPaused)
      nextPaused = 0
    }
    return resumable
  }

  // MARK: - Moves

  /// Moves a connection to another shard at the end of the turn, because its bytes may still be in use in this turn.
  mutating func move(_ slot: Slot<Connection>, _ move: Connection.Move) {
    connections[slot].move = move
    leaving.append(connections.handle(of: slot))
  }

  /// Takes the connections that move now.
  mutating func takeLeaving() -> [Handle<Connection>] {
    guard !leaving.isEmpty else { return [] }
    defer { leaving = [] }
    return leaving
  }
}
