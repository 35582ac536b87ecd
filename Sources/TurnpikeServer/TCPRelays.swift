internal import NetIO
internal import NetworkTypes
internal import TURN
internal import Tables

/// The TCP side of one relayed transport address.
struct RelayListener: ~Copyable {
  /// The relay's handle of the relay port.
  let id: Handle<RelayPort>
  let socket: StreamListener
}

/// TCP relaying of one shard (RFC 6062): listeners on relayed transport addresses, and pipes between peers and data
/// connections. Both are found by the relay's handles, and by the handles in the loop's events.
struct TCPRelays: ~Copyable {
  private var listeners = SlotMap<RelayListener>()
  private var listenerOfRelay: [Handle<RelayPort>: Slot<RelayListener>] = [:]
  private var pipes = SlotMap<Pipe>()
  private var pipeOfPeerConnection: [Handle<PeerConnection>: Slot<Pipe>] = [:]
  /// Listeners that are paused because `accept` failed, for example without free descriptors.
  private var pausedListeners: [Handle<RelayListener>] = []
  /// Pipes that wait for bandwidth.
  private var throttled: [Handle<Pipe>] = []
  /// The time when the first pipe that waits for bandwidth may resume; nil while none waits.
  private(set) var nextResume: Instant?

  // MARK: - Listeners

  mutating func insert(_ listener: consuming RelayListener) -> Handle<RelayListener> {
    let id = listener.id
    let slot = listeners.insert(listener)
    listenerOfRelay[id] = slot
    return listeners.handle(of: slot)
  }

  /// Closes a listener.
  mutating func removeListener(_ id: Handle<RelayPort>) {
    guard let slot = listenerOfRelay.removeValue(forKey: id) else { return }
    _ = listeners.remove(slot)
  }

  /// The descriptor of a relay port's listener.
  func descriptor(ofListener id: Handle<RelayPort>) -> Int32? {
    listenerOfRelay[id].map { listeners[$0].socket.rawValue }
  }

  func listenerDescriptors(where matches: (Handle<RelayPort>) -> Bool) -> [Int32] {
    listenerOfRelay.filter { matches($0.key) }.map { listeners[$0.value].socket.rawValue }
  }

  func slot(of handle: Handle<RelayListener>) -> Slot<RelayListener>? { listeners.slot(of: handle) }

  subscript(slot: Slot<RelayListener>) -> RelayListener { _read { yield listeners[slot] } }

  /// Records a paused listener, until `takePausedListeners`.
  mutating func pause(_ listener: Handle<RelayListener>) { pausedListeners.append(listener) }

  var hasPausedListeners: Bool { !pausedListeners.isEmpty }

  mutating func takePausedListeners() -> [Handle<RelayListener>] {
    guard !pausedListeners.isEmpty else { return [] }
    defer { pausedListeners = [] }
    return pausedListeners
  }

  // MARK: - Pipes

  var pipeCount: Int { pipes.count }
  var isFull: Bool { pipes.count >= Pipe.limit }

  mutating func insert(_ pipe: consuming Pipe) -> Slot<Pipe> {
    let id = pipe.id
    let slot = pipes.insert(pipe)
    pipeOfPeerConnection[id] = slot
    return slot
  }

  /// Closes the peer's connection.
  mutating func remove(_ slot: Slot<Pipe>) {
    pipeOfPeerConnection[pipes[slot].id] = nil
    _ = pipes.remove(slot)
  }

  func pipe(ofPeerConnection id: Handle<PeerConnection>) -> Slot<Pipe>? { pipeOfPeerConnection[id] }

  func slot(of handle: Handle<Pipe>) -> Slot<Pipe>? { pipes.slot(of: handle) }

  func handle(of slot: Slot<Pipe>) -> Handle<Pipe> { pipes.handle(of: slot) }

  subscript(slot: Slot<Pipe>) -> Pipe {
    _read { yield pipes[slot] }
    _modify { yield &pipes[slot] }
  }

  /// The next connection of a walk over all of them. Closing one may close others, which the walk skips.
  func next(_ walk: inout SlotWalk<Pipe>) -> Slot<Pipe>? { pipes.next(&walk) }

  // MARK: - Bandwidth

  enum Side {
    case peer
    case client
  }

  /// Pauses reading from one side; zero resumes it at once.
  mutating func throttle(_ slot: Slot<Pipe>, _ side: Side, for pause: Duration, now: Instant) {
    let until = pause > .zero ? now.advanced(by: pause) : Instant(nanoseconds: 0)
    switch side {
    case .peer: pipes[slot].readsPeerFrom = until
    case .client: pipes[slot].readsClientFrom = until
    }
    if pause > .zero { wait(slot, until: until) }
  }

  private mutating func wait(_ slot: Slot<Pipe>, until: Instant) {
    // A pipe has one entry, even if several records of one read exceed the limit.
    if !pipes[slot].isThrottled {
      pipes[slot].isThrottled = true
      throttled.append(pipes.handle(of: slot))
    }
    nextResume = min(nextResume ?? until, until)
  }

  /// Takes the pipes that wait for bandwidth, when the first of them may resume. Pipes that must wait longer on one
  /// side are also returned, because the other side may resume.
  mutating func takeResumable(now: Instant) -> [Handle<Pipe>] {
    guard let due = nextResume, due <= now else { return [] }
    let waiting = throttled
    throttled = []
    nextResume = nil
    var resumable: [Handle<Pipe>] = []
    for handle in waiting {
      guard let slot = pipes.slot(of: handle) else { continue }
      pipes[slot].isThrottled = false
      let (peer, client) = (pipes[slot].readsPeerFrom, pipes[slot].readsClientFrom)
      let next = peer > now && client > now ? min(peer, client) : max(peer, client)
      if next > now { wait(slot, until: next) }
      if max(peer, client) > Instant(nanoseconds: 0) { resumable.append(handle) }
    }
    return resumable
  }
}
