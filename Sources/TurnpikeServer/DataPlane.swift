internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN
internal import Tables

/// The kinds of events of the loop.
enum EventKind {
  static let datagramListener: UInt8 = 1
  static let streamListener: UInt8 = 2
  static let relayPort: UInt8 = 3
  static let connection: UInt8 = 4
  static let mailbox: UInt8 = 5
  static let relayListener: UInt8 = 6
  static let peerConnection: UInt8 = 7
  static let alarm: UInt8 = 8
  /// Datagrams from a newer process.
  static let foreign: UInt8 = 10
  /// The loop of streams has events.
  static let streams: UInt8 = 9
}

/// The input and output of a shard's packets: sockets, the slots with datagrams, and the engine that waits, receives
/// and sends. The engine (epoll with `recvmmsg` and `sendmmsg`, or io_uring) is checked once for each event or batch,
/// never for a packet; the path of a packet is the same.
///
/// A turn: `wait`, then for each event `receive` and decide, `sendToPeer` and `sendToClient`, and at the end
/// `recycleSlots`.
struct DataPlane: ~Copyable {
  enum Engine: Sendable {
    case epoll
    case ioUring
  }

  /// The slots: for one turn's datagrams; for messages of our own and from other shards; one for ciphertext; and those
  /// of io_uring after them.
  static let batchSlots = 64
  static let replySlots = 32
  static let scratchSlot = batchSlots + replySlots
  private static let firstProvided = scratchSlot + 1
  private static let providedSlots = 512

  /// An event of a descriptor, or a datagram from it.
  struct Event: BitwiseCopyable {
    var token: EventToken
    var isReadable: Bool
    var isWritable: Bool
    /// The other side has closed, or the descriptor has an error.
    var isFailed: Bool
    /// The slot of a datagram from io_uring; -1 if it must be read first.
    var slot: Int32 = -1
  }

  /// The loop of streams and mailboxes, with io_uring also of the alarm.
  let loop: EventLoop
  /// With epoll: the loop of datagrams, the alarm and the loop of streams. It is a separate loop, so that every turn
  /// handles datagrams first, however many streams are readable.
  let datagrams: EventLoop
  /// The number of `datagrams` events in this turn, without the event of the stream loop.
  private var datagramEvents = 0
  /// The timer for the next deadline.
  private var alarm: Alarm
  /// Nil with epoll.
  var ring: DatagramRing?
  let usesRing: Bool
  /// Whether relay sockets may get buffers beyond the system limit; false after the first refusal.
  private var mayForceBuffers = true
  /// The ring's events in this turn.
  var arrivals: [Event] = []
  var isLoopWatched = false
  /// The relay port of the turn's last datagram.
  var lastPort = OptionalSlot<RelayPort>()
  var buffers: PacketBuffers
  var batch: ReceiveBatch
  /// The datagrams to send. There are more entries than slots, because a slot may hold many merged datagrams.
  var sends = SendBatch(capacity: 1024)
  var relayPorts = RelaySockets()
  var listeners = SlotMap<UDPSocket>()
  /// The descriptors of `listeners`, by slot, for every packet to a client.
  var listenerDescriptors: [Int32] = []
  /// The next slot without data that waits to be sent.
  var nextSlot = 0
  var nextReplySlot = 0
  /// Whether receiving is stopped, because the sockets are handed over.
  var isStopped = false
  /// Sockets of relay ports to close after queued datagrams have been sent.
  var closing: [(descriptor: Int32, token: EventToken)] = []

  /// - Throws: the kernel's reason for a refusal of the engine.
  init(_ engine: Engine) throws(Errno) {
    switch engine {
    case .epoll:
      let buffers = PacketBuffers(slotCount: Self.firstProvided)
      let datagrams = try EventLoop()
      try self.init(EventLoop(), datagrams, Alarm(), nil, buffers)
    case .ioUring:
      let buffers = PacketBuffers(slotCount: Self.firstProvided + Self.providedSlots)
      let ring = try DatagramRing(buffers, firstSlot: Self.firstProvided, slotCount: Self.providedSlots)
      let datagrams = try EventLoop()
      try self.init(EventLoop(), datagrams, Alarm(), ring, buffers)
      arrivals.reserveCapacity(Self.arrivalsPerTurn)
    }
  }

  private init(
    _ loop: consuming EventLoop, _ datagrams: consuming EventLoop, _ alarm: consuming Alarm,
    _ ring: consuming DatagramRing?, _ buffers: consuming PacketBuffers
  ) throws(Errno) {
    switch ring {
    case nil:
      usesRing = false
      try datagrams.add(alarm.rawValue, EventToken(kind: EventKind.alarm))
      try datagrams.add(loop.rawValue, EventToken(kind: EventKind.streams))
    case _?:
      usesRing = true
      try loop.add(alarm.rawValue, EventToken(kind: EventKind.alarm))
    }
    self.loop = loop
    self.datagrams = datagrams
    self.alarm = alarm
    self.ring = ring
    batch = ReceiveBatch(for: buffers, firstProvided: Self.firstProvided)
    self.buffers = buffers
  }

  /// Tests whether the kernel and its security rules allow io_uring with the needed features; returns the error if not.
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

  /// Takes ownership of a listening socket, which then stays open; returns its slot, which its events name.
  mutating func add(_ listener: consuming UDPSocket) throws(Errno) -> Slot<UDPSocket> {
    if let family = listener.localAddress?.family { listener.reportTrafficClass(family) }
    let descriptor = listener.rawValue
    let slot = listeners.insert(listener)
    listenerDescriptors.append(descriptor)
    try register(descriptor, EventToken(kind: EventKind.datagramListener, index: slot.index))
    return slot
  }

  @inline(__always)
  func listenerDescriptor(_ socket: Slot<UDPSocket>) -> Int32 { listenerDescriptors[Int(socket.index)] }

  /// Opens a relay port's socket, whose events have the relay port's handle.
  ///
  /// - Parameter limit: descriptor numbers from here on are reserved; a socket with such a number is closed again.
  mutating func openRelayPort(
    _ id: Handle<RelayPort>, _ address: SocketAddress, below limit: Int32
  ) throws(Errno) {
    let socket: UDPSocket
    do throws(Errno) { socket = try UDPSocket(relayingOn: address, mayForceBuffers: &mayForceBuffers) } catch {
      // The port may belong to a socket that this turn will close at its end.
      guard error == .addressInUse, !closing.isEmpty else { throw error }
      closeSockets()
      socket = try UDPSocket(relayingOn: address, mayForceBuffers: &mayForceBuffers)
    }
    guard socket.rawValue < limit else { throw .tooManyFiles }
    socket.reportTrafficClass(address.family)
    try register(socket.rawValue, Self.token(of: id))
    relayPorts.insert(socket, at: Handle(sameAs: id))
  }

  static func token(of id: Handle<RelayPort>) -> EventToken {
    EventToken(kind: EventKind.relayPort, Handle<RelaySockets.Entry>(sameAs: id))
  }

  mutating func register(_ descriptor: Int32, _ token: EventToken) throws(Errno) {
    if isStopped { return }
    if usesRing { ring?.receive(from: descriptor, token) } else { try datagrams.add(descriptor, token) }
  }

  /// Stops receiving on a relay port. Its socket is closed at the end of the turn, after queued datagrams, such as the
  /// last packets of a call.
  mutating func closeRelayPort(_ id: Handle<RelayPort>) {
    guard let descriptor = relayPorts.remove(Handle(sameAs: id)) else { return }
    closing.append((descriptor, Self.token(of: id)))
  }

  // MARK: - Receiving

  /// Sends waiting datagrams, waits for events or the deadline, and returns the number of events.
  mutating func wait(until deadline: Instant?) -> Int {
    if let deadline { alarm.ring(by: deadline) }
    if usesRing { return waitWithRing() }
    datagramEvents = datagrams.wait()
    for index in 0..<datagramEvents where datagrams.event(index).token.kind == EventKind.streams {
      return datagramEvents + loop.wait(for: .zero, limit: Self.streamEventsPerTurn)
    }
    return datagramEvents
  }

  /// Limit of streams that are read in one turn, so that datagrams do not wait longer.
  static let streamEventsPerTurn = 64

  mutating func acknowledgeAlarm() { alarm.acknowledge() }

  @inline(__always)
  func event(_ index: Int) -> Event {
    if index < arrivals.count { return arrivals[index] }
    let event =
      index < datagramEvents ? datagrams.event(index) : loop.event(index - arrivals.count - datagramEvents)
    return Event(
      token: event.token, isReadable: event.isReadable, isWritable: event.isWritable, isFailed: event.isFailed)
  }

  /// The datagrams of a listening or relay socket's event, already received or received now: at most `limit`, in slots
  /// that stay in use until `recycleSlots`.
  @inline(__always)
  mutating func receive(_ event: Event, _ descriptor: Int32, limit: Int) -> Range<Int> {
    if usesRing { return event.slot >= 0 ? Int(event.slot)..<Int(event.slot) + 1 : 0..<0 }
    if nextSlot >= Self.batchSlots { recycleSlots() }
    let first = nextSlot
    var count = 0
    // An error here is the ICMP error of an earlier packet, which the read has cleared.
    do {
      count = try batch.receive(
        from: descriptor, firstSlot: first, limit: min(limit, Self.batchSlots - first))
    } catch {}
    nextSlot = first + count
    return first..<(first + count)
  }

  /// Adapts a relay socket's read limit and merging to the result of a read.
  @inline(__always)
  mutating func learn(_ id: Handle<RelayPort>, asked: Int, _ slots: Range<Int>) {
    if usesRing {
      let port = OptionalSlot(Slot<RelayPort>(index: id.index))
      relayPorts.learn(Handle(sameAs: id), asked: 2, received: lastPort == port ? 2 : 1)
      lastPort = port
    } else {
      relayPorts.learn(Handle(sameAs: id), asked: min(asked, Self.batchSlots - slots.lowerBound), received: slots.count)
    }
  }

  /// A slot for a stream's bytes.
  mutating func streamSlot() -> Int {
    if nextSlot >= Self.batchSlots { recycleSlots() }
    defer { nextSlot += 1 }
    return nextSlot
  }

  /// A slot for a message of our own or from another shard, sent at the end of the turn.
  mutating func replySlot() -> Int {
    if nextReplySlot == Self.replySlots {
      flush()
      nextReplySlot = 0
    }
    defer { nextReplySlot += 1 }
    return Self.batchSlots + nextReplySlot
  }

  // MARK: - Sending

  /// Queues a part of a slot to be sent to a peer. False if the socket is closed.
  @inline(__always)
  mutating func sendToPeer(_ port: Handle<RelayPort>, _ peer: SocketAddress, slot: Int, range: Range<Int>) -> Bool {
    guard let descriptor = relayPorts.descriptor(Handle(sameAs: port)) else { return false }
    if sends.isFull { flush() }
    sends.append(descriptor, buffers, slot: slot, range: range, to: peer, from: nil)
    return true
  }

  @inline(__always)
  mutating func sendToClient(
    over socket: Slot<UDPSocket>, _ client: SocketAddress, from source: IPAddress?, slot: Int, range: Range<Int>
  ) {
    if sends.isFull { flush() }
    sends.append(listenerDescriptor(socket), buffers, slot: slot, range: range, to: client, from: source)
  }

  /// Sends waiting datagrams. The slots stay in use, because a batch may be only half processed.
  @inline(__always)
  mutating func flush() {
    if usesRing { ring?.send(&sends) } else { sends.flush() }
  }

  /// Sends waiting datagrams and frees the slots, except io_uring's. Must be called only between two batches.
  @inline(__always)
  mutating func recycleSlots() {
    if closing.isEmpty { flush() } else { closeSockets() }
    nextSlot = 0
    nextReplySlot = 0
  }

  /// Ends the turn: sends waiting datagrams now, or with io_uring together with the next `wait`.
  @inline(__always)
  mutating func endTurn() {
    if !usesRing { recycleSlots() }
  }
}
