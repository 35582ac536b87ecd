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
}

/// The machinery that moves a shard's packets: sockets, the slots that datagrams lie in, and the engine that waits,
/// receives and sends. Which engine that is (epoll with `recvmmsg` and `sendmmsg`, or io_uring) is asked once for each
/// event or batch, never for a packet; what a packet touches is the same.
///
/// A turn: `wait`, then for each event `receive` and decide, `sendToPeer` and `sendToClient`, and at the end
/// `recycleSlots`.
struct DataPlane: ~Copyable {
  /// What a turn receives at once; slots for messages that come from elsewhere; the last one is for what TLS has not
  /// decrypted yet.
  static let batchSlots = 64
  static let replySlots = 32
  static let slotCount = batchSlots + replySlots + 1
  static let scratchSlot = slotCount - 1

  /// Something happened to a descriptor.
  struct Event: BitwiseCopyable {
    var token: EventToken
    var isReadable: Bool
    var isWritable: Bool
    /// The other side is gone, or the descriptor has an error to report.
    var isFailed: Bool
  }

  let loop: EventLoop
  var buffers = PacketBuffers(slotCount: slotCount)
  var batch: ReceiveBatch
  /// More than there are slots: a merged run is many datagrams in one slot.
  var sends = SendBatch(capacity: 1024)
  var relayPorts = DescriptorTable()
  private(set) var listeners = Places<UDPSocket>()
  /// The descriptors of `listeners`, by place: looked up for every packet to a client.
  private var listenerDescriptors: [Int32] = []
  /// Next slot that nothing waiting to be sent lies in.
  private var nextSlot = 0
  private var nextReplySlot = 0

  init() throws(Errno) {
    loop = try EventLoop()
    batch = ReceiveBatch(for: buffers)
  }

  // MARK: - Sockets

  /// Takes over a listening socket; its datagrams come in under the place that is returned.
  mutating func add(_ listener: consuming UDPSocket) throws(Errno) -> Int {
    let descriptor = listener.rawValue
    let place = listeners.insert(listener).index
    listenerDescriptors.append(descriptor)
    try loop.add(descriptor, EventToken(kind: EventKind.datagramListener, index: UInt32(place)))
    return place
  }

  @inline(__always)
  func listenerDescriptor(_ place: Int) -> Int32 { listenerDescriptors[place] }

  /// Opens a relay's socket; datagrams for it come in under its name.
  mutating func openRelayPort(_ id: RecordID, _ address: SocketAddress) throws(Errno) {
    let socket = try UDPSocket(relayingOn: address)
    try loop.add(
      socket.rawValue, EventToken(kind: EventKind.relayPort, index: id.index, generation: id.generation))
    relayPorts.insert(socket, at: id.index, generation: id.generation)
  }

  mutating func closeRelayPort(_ id: RecordID) {
    // What is queued leaves first: the last packets of a call belong to it.
    flush()
    relayPorts.close(id.index, generation: id.generation)
  }

  // MARK: - Receiving

  /// Waits for at most so long (negative: for ever) and returns how many events there are.
  mutating func wait(milliseconds: Int32) -> Int { loop.wait(milliseconds: milliseconds) }

  @inline(__always)
  func event(_ index: Int) -> Event {
    let event = loop.event(index)
    return Event(
      token: event.token, isReadable: event.isReadable, isWritable: event.isWritable, isFailed: event.isFailed)
  }

  /// What an event of a listening or relay socket has brought, or brings now: at most `limit` datagrams, in slots that
  /// are taken until `recycleSlots`.
  @inline(__always)
  mutating func receive(_ event: Event, _ descriptor: Int32, limit: Int) -> Range<Int> {
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
  mutating func flush() { sends.flush() }

  /// Sends what waits and frees every slot. Only between two batches.
  @inline(__always)
  mutating func recycleSlots() {
    flush()
    nextSlot = 0
    nextReplySlot = 0
  }
}
