internal import NetIO
internal import NetworkTypes
internal import TURN

/// What an event of the loop is about.
enum EventKind {
  static let datagramListener: UInt8 = 1
  static let streamListener: UInt8 = 2
  static let relayPort: UInt8 = 3
  static let connection: UInt8 = 4
  static let mailbox: UInt8 = 5
  static let relayListener: UInt8 = 6
  static let peerConnection: UInt8 = 7
  static let alarm: UInt8 = 8
}

/// The machinery that moves a shard's packets: sockets, the slots that datagrams lie in, and the engine that waits,
/// receives and sends. Which engine that is (epoll with `recvmmsg` and `sendmmsg`, or io_uring) is asked once for each
/// event or batch, never for a packet; what a packet touches is the same.
///
/// A turn: `wait`, then for each event `receive` and decide, `sendToPeer` and `sendToClient`, and at the end
/// `recycleSlots`.
struct DataPlane: ~Copyable {
  enum Engine: Sendable {
    case epoll
    case ioUring
  }

  /// What a turn receives at once; slots for messages that come from elsewhere; one for what TLS has not decrypted yet;
  /// behind them those that io_uring receives into.
  static let batchSlots = 64
  static let replySlots = 32
  static let scratchSlot = batchSlots + replySlots
  private static let firstProvided = scratchSlot + 1
  private static let providedSlots = 512

  /// Something happened to a descriptor, or came from it.
  struct Event: BitwiseCopyable {
    var token: EventToken
    var isReadable: Bool
    var isWritable: Bool
    /// The other side is gone, or the descriptor has an error to report.
    var isFailed: Bool
    /// Where io_uring has put a datagram; -1 where one has to be asked for.
    var slot: Int32 = -1
  }

  /// Streams, mail, and with epoll datagrams.
  let loop: EventLoop
  /// Rings when something is due.
  private var alarm: Alarm
  /// Nil with epoll.
  var ring: DatagramRing?
  let usesRing: Bool
  /// What the ring has brought this turn.
  var arrivals: [Event] = []
  var isLoopWatched = false
  /// The relay port that the last datagram of the turn came in by.
  var lastPort = UInt32.max
  var buffers: PacketBuffers
  var batch: ReceiveBatch
  /// More than there are slots: a merged run is many datagrams in one slot.
  var sends = SendBatch(capacity: 1024)
  var relayPorts = DescriptorTable()
  private(set) var listeners = Places<UDPSocket>()
  /// The descriptors of `listeners`, by place: looked up for every packet to a client.
  var listenerDescriptors: [Int32] = []
  /// Next slot that nothing waiting to be sent lies in.
  var nextSlot = 0
  var nextReplySlot = 0
  /// Sockets of relay ports that are to be closed once what is queued has left.
  var closing: [(descriptor: Int32, token: EventToken)] = []

  /// - Throws: what the kernel refuses the engine with.
  init(_ engine: Engine) throws(Errno) {
    switch engine {
    case .epoll:
      let buffers = PacketBuffers(slotCount: Self.firstProvided)
      try self.init(EventLoop(), Alarm(), nil, buffers)
    case .ioUring:
      let buffers = PacketBuffers(slotCount: Self.firstProvided + Self.providedSlots)
      let ring = try DatagramRing(buffers, firstSlot: Self.firstProvided, slotCount: Self.providedSlots)
      try self.init(EventLoop(), Alarm(), ring, buffers)
      arrivals.reserveCapacity(Self.arrivalsPerTurn)
    }
  }

  private init(
    _ loop: consuming EventLoop, _ alarm: consuming Alarm, _ ring: consuming DatagramRing?,
    _ buffers: consuming PacketBuffers
  ) throws(Errno) {
    try loop.add(alarm.rawValue, EventToken(kind: EventKind.alarm))
    switch ring {
    case nil: usesRing = false
    case _?: usesRing = true
    }
    self.loop = loop
    self.alarm = alarm
    self.ring = ring
    batch = ReceiveBatch(for: buffers, firstProvided: Self.firstProvided)
    self.buffers = buffers
  }

  /// Whether this kernel and its rules let a process have io_uring as this engine needs it; what it says otherwise.
  static func probeRing() -> Errno? {
    do throws(Errno) {
      let buffers = PacketBuffers(slotCount: 8)
      _ = try DatagramRing(buffers, firstSlot: 0, slotCount: 8)
      return nil
    } catch {
      return error
    }
  }

  // MARK: - Sockets

  /// Takes over a listening socket; its datagrams come in under the place that is returned.
  mutating func add(_ listener: consuming UDPSocket) throws(Errno) -> Int {
    if let family = listener.localAddress?.family { listener.tellTrafficClass(family) }
    let descriptor = listener.rawValue
    let place = listeners.insert(listener).index
    listenerDescriptors.append(descriptor)
    try register(descriptor, EventToken(kind: EventKind.datagramListener, index: UInt32(place)))
    return place
  }

  @inline(__always)
  func listenerDescriptor(_ place: Int) -> Int32 { listenerDescriptors[place] }

  /// Opens a relay's socket; datagrams for it come in under its name.
  mutating func openRelayPort(_ id: RecordID, _ address: SocketAddress) throws(Errno) {
    let socket: UDPSocket
    do throws(Errno) { socket = try UDPSocket(relayingOn: address) } catch {
      // It may be one that this turn has closed, so far by name only.
      guard error == .addressInUse, !closing.isEmpty else { throw error }
      closeSockets()
      socket = try UDPSocket(relayingOn: address)
    }
    socket.tellTrafficClass(address.family)
    try register(socket.rawValue, Self.token(of: id))
    relayPorts.insert(socket, at: id.index, generation: id.generation)
  }

  static func token(of id: RecordID) -> EventToken {
    EventToken(kind: EventKind.relayPort, index: id.index, generation: id.generation)
  }

  private mutating func register(_ descriptor: Int32, _ token: EventToken) throws(Errno) {
    if usesRing { ring?.receive(from: descriptor, token) } else { try loop.add(descriptor, token) }
  }

  /// Nothing is heard of the port any more. Its socket is closed at the end of the turn: what is queued leaves first,
  /// the last packets of a call belong to it.
  mutating func closeRelayPort(_ id: RecordID) {
    guard let descriptor = relayPorts.remove(id.index, generation: id.generation) else { return }
    closing.append((descriptor, Self.token(of: id)))
  }

  /// Sends what waits, then closes what was to be closed.
  mutating func closeSockets() {
    if usesRing { ring?.send(&sends, thenCancel: closing.map(\.token)) } else { sends.flush() }
    for closed in closing { _ = FileDescriptor(owning: closed.descriptor) }
    closing.removeAll(keepingCapacity: true)
  }

  /// Sends what waits and lets go of every socket: a ring that is torn down with the process would hold their ports for
  /// a while yet.
  mutating func shutDown() {
    closeSockets()
    guard usesRing else { return }
    ring?.send(
      &sends,
      thenCancel: listenerDescriptors.indices.map { EventToken(kind: EventKind.datagramListener, index: UInt32($0)) })
  }

  // MARK: - Receiving

  /// Sends what waits, waits until something happens or is due, and returns how many events there are.
  mutating func wait(until deadline: Instant?) -> Int {
    if let deadline { alarm.ring(by: deadline) }
    return usesRing ? waitWithRing() : loop.wait(milliseconds: -1)
  }

  mutating func acknowledgeAlarm() { alarm.acknowledge() }

  @inline(__always)
  func event(_ index: Int) -> Event {
    if index < arrivals.count { return arrivals[index] }
    let event = loop.event(index - arrivals.count)
    return Event(
      token: event.token, isReadable: event.isReadable, isWritable: event.isWritable, isFailed: event.isFailed)
  }

  /// What an event of a listening or relay socket has brought, or brings now: at most `limit` datagrams, in slots that
  /// are taken until `recycleSlots`.
  @inline(__always)
  mutating func receive(_ event: Event, _ descriptor: Int32, limit: Int) -> Range<Int> {
    if usesRing { return event.slot >= 0 ? Int(event.slot)..<Int(event.slot) + 1 : 0..<0 }
    if nextSlot >= Self.batchSlots { recycleSlots() }
    let first = nextSlot
    var count = 0
    // An error here is one that an ICMP message brought for some earlier packet: it has been reported and is gone.
    do {
      count = try batch.receive(
        from: descriptor, firstSlot: first, limit: min(limit, Self.batchSlots - first))
    } catch {}
    nextSlot = first + count
    return first..<(first + count)
  }

  /// Learns from a reading of a relay socket: how much it brings at once, and whether in runs.
  @inline(__always)
  mutating func learn(_ id: RecordID, asked: Int, _ slots: Range<Int>) {
    if usesRing {
      relayPorts.learn(id.index, asked: 2, received: lastPort == id.index ? 2 : 1)
      lastPort = id.index
    } else {
      relayPorts.learn(id.index, asked: min(asked, Self.batchSlots - slots.lowerBound), received: slots.count)
    }
  }

  /// A slot for a stream's bytes.
  mutating func streamSlot() -> Int {
    if nextSlot >= Self.batchSlots { recycleSlots() }
    defer { nextSlot += 1 }
    return nextSlot
  }

  /// A slot for a message of our own or of another shard, which leaves with the rest of the turn.
  mutating func replySlot() -> Int {
    if nextReplySlot == Self.replySlots {
      flush()
      nextReplySlot = 0
    }
    defer { nextReplySlot += 1 }
    return Self.batchSlots + nextReplySlot
  }

  // MARK: - Sending

  /// Puts a part of a slot into the queue of what is to be sent. False where the socket is gone.
  @inline(__always)
  mutating func sendToPeer(_ port: RecordID, _ peer: SocketAddress, slot: Int, range: Range<Int>) -> Bool {
    guard let descriptor = relayPorts.descriptor(port.index, generation: port.generation) else { return false }
    if sends.isFull { flush() }
    sends.append(descriptor, buffers, slot: slot, range: range, to: peer, from: nil)
    return true
  }

  @inline(__always)
  mutating func sendToClient(
    listener: Int, _ client: SocketAddress, from source: IPAddress?, slot: Int, range: Range<Int>
  ) {
    if sends.isFull { flush() }
    sends.append(listenerDescriptors[listener], buffers, slot: slot, range: range, to: client, from: source)
  }

  /// Sends what waits. The slots stay taken: a batch may be half decided about, and what it still queues lies in them.
  @inline(__always)
  mutating func flush() {
    if usesRing { ring?.send(&sends) } else { sends.flush() }
  }

  /// Sends what waits and frees the slots, but those of io_uring. Only between two batches.
  @inline(__always)
  mutating func recycleSlots() {
    if closing.isEmpty { flush() } else { closeSockets() }
    nextSlot = 0
    nextReplySlot = 0
  }

  /// The turn is over. What waits leaves now, or with io_uring together with the next `wait`.
  @inline(__always)
  mutating func endTurn() {
    if !usesRing { recycleSlots() }
  }
}
