internal import NetIO
internal import NetworkTypes
internal import TURN

/// What a shard needs of the machinery that moves its packets. epoll is the first engine; another (io_uring) takes
/// its place by offering the same.
protocol DataPlane: ~Copyable {
  /// Opens a relay's socket; datagrams for it come in under its name.
  mutating func openRelayPort(_ id: RecordID, _ address: SocketAddress) throws(Errno)
  mutating func closeRelayPort(_ id: RecordID)
  /// Puts a part of a received slot into the queue of what is to be sent. False where the socket is gone.
  mutating func sendToPeer(_ port: RecordID, _ peer: SocketAddress, slot: Int, range: Range<Int>) -> Bool
  mutating func sendToClient(listener: Int, _ client: SocketAddress, from: IPAddress?, slot: Int, range: Range<Int>)
  /// Sends what waits. The slots stay taken: a batch may be half decided about, and what it still queues lies in them.
  mutating func flush()
  /// Sends what waits and frees every slot. Only between two batches.
  mutating func recycleSlots()
}

/// What an event of the loop is about.
enum EventKind {
  static let datagramListener: UInt8 = 1
  static let streamListener: UInt8 = 2
  static let relayPort: UInt8 = 3
  static let connection: UInt8 = 4
  static let mailbox: UInt8 = 5
}

/// Engine 1: level-triggered epoll, `recvmmsg` and `sendmmsg`.
struct EpollPlane: DataPlane, ~Copyable {
  /// A batch, slots for messages that come from elsewhere, and the last one for what TLS has not decrypted yet.
  static let slotCount = batchSlots + replySlots + 1
  static let batchSlots = 64
  static let replySlots = 32
  static let scratchSlot = slotCount - 1

  var loop: EventLoop
  var buffers = PacketBuffers(slotCount: EpollPlane.slotCount)
  var batch: ReceiveBatch
  /// More than there are slots: a merged run is many datagrams in one slot.
  var sends = SendBatch(capacity: 1024)
  var relayPorts = DescriptorTable()
  var listeners = Places<UDPSocket>()
  /// The descriptors of `listeners`, by place: looked up for every packet to a client.
  var listenerDescriptors: [Int32] = []
  /// Next slot that nothing waiting to be sent lies in.
  var nextSlot = 0
  private var nextReplySlot = 0

  init() throws(Errno) {
    loop = try EventLoop()
    batch = ReceiveBatch(for: buffers)
  }

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

  @inline(__always)
  mutating func sendToPeer(_ port: RecordID, _ peer: SocketAddress, slot: Int, range: Range<Int>) -> Bool {
    guard let descriptor = relayPorts.descriptor(port.index, generation: port.generation) else { return false }
    if sends.isFull { sends.flush() }
    sends.append(descriptor, buffers, slot: slot, range: range, to: peer, from: nil)
    return true
  }

  @inline(__always)
  mutating func sendToClient(
    listener: Int, _ client: SocketAddress, from source: IPAddress?, slot: Int, range: Range<Int>
  ) {
    if sends.isFull { sends.flush() }
    sends.append(listenerDescriptors[listener], buffers, slot: slot, range: range, to: client, from: source)
  }

  @inline(__always)
  mutating func flush() { sends.flush() }

  @inline(__always)
  mutating func recycleSlots() {
    flush()
    nextSlot = 0
    nextReplySlot = 0
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

  /// Receives a batch from a listening or relay socket into free slots, and says where it lies.
  @inline(__always)
  mutating func receive(_ descriptor: Int32, limit: Int) -> Range<Int> {
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
}
