internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN
internal import Tables

/// DTLS clients of the older process. They share the listeners' sockets with all other clients, so the newer process
/// receives their datagrams and forwards them; the older one answers over the same sockets.
struct ForeignClients: ~Copyable {
  /// The connection between the same shards of both processes; nil: none.
  var socket: StreamSocket?
  /// The clients of the older process; empty in that process itself.
  var clients: Set<SecureDatagramClients.Client> = []

  init() {}
}

/// A forwarded datagram, as one message.
struct ForeignDatagram {
  var client = SocketAddress.none
  var endpoint = EndpointID(rawValue: 0)
  var trafficClass: UInt8 = 0
  var bytes: [UInt8] = []

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&client)
    try coder.code(&endpoint)
    try coder.code(&trafficClass)
    try coder.code(&bytes)
  }
}

extension Shard {
  /// Limit of datagrams that one turn takes from the newer process.
  private static let foreignBudget = 64

  /// The clients of this shard's associations.
  func exportSecureClients(to coder: inout RecordCoder) throws(RecordError) {
    coder.begin(EngineRecordKind.secureClients.rawValue)
    var list = secureDatagrams.clients
    try coder.codeList(&list, SecureDatagramClients.Client(.unread)) { coder, client throws(RecordError) in
      try coder.code(&client.address)
      try coder.code(&client.endpoint)
    }
    coder.end()
  }

  // MARK: - The newer process

  /// Forwards a datagram to the older process; false if its client is not that process's, or begins a new handshake.
  mutating func forwardToPredecessor(_ client: SecureDatagramClients.Client, _ slot: Int, _ range: Range<Int>) -> Bool {
    guard foreign.clients.contains(client), !SecureDatagramClients.isHello(plane.buffers.bytes(slot, range)) else {
      return false
    }
    var datagram = ForeignDatagram(
      client: client.address, endpoint: client.endpoint, trafficClass: plane.sends.trafficClass,
      bytes: plane.buffers.bytes(slot, range).copied())
    var coder = RecordCoder()
    coder.begin(1)
    // Writing cannot fail.
    try? datagram.code(with: &coder)
    coder.end()
    switch foreign.socket?.write(coder.bytes.span.rawBytes) {
    // The older process has ended.
    case nil:
      foreign.clients = []
      foreign.socket = nil
    // A full queue: the datagram is lost, as in a full socket buffer.
    case 0: relay.countDrop(.shardBusy)
    default: break
    }
    return true
  }

  // MARK: - The older process

  /// Begins to receive from the newer process.
  mutating func receiveFromSuccessor(over descriptor: Int32) {
    guard descriptor >= 0 else { return }
    foreign.socket = StreamSocket(FileDescriptor(owning: descriptor), remote: .none, local: .none)
    try? plane.loop.add(descriptor, EventToken(kind: EventKind.foreign))
  }

  mutating func receiveForeign() {
    for _ in 0..<Self.foreignBudget {
      let scratch = DataPlane.scratchSlot
      switch Self.read(foreign, into: &plane.buffers, slot: scratch) {
      case .bytes(let count): receiveForeign(plane.buffers.bytes(scratch, 0..<count).copied())
      case .wouldBlock: return
      case .closed, .failed:
        if let descriptor = foreign.socket?.rawValue { plane.loop.remove(descriptor) }
        foreign.socket = nil
        return
      }
    }
  }

  private static func read(
    _ foreign: borrowing ForeignClients, into buffers: inout PacketBuffers, slot: Int
  ) -> ReadResult<Errno> {
    switch foreign.socket {
    case .some(let socket): socket.read(into: &buffers, slot: slot)
    case nil: .wouldBlock
    }
  }

  private mutating func receiveForeign(_ message: [UInt8]) {
    var coder = RecordCoder(reading: message)
    var datagram = ForeignDatagram()
    do throws(RecordError) {
      _ = try coder.next()
      try datagram.code(with: &coder)
    } catch { return }
    guard Int(datagram.endpoint.rawValue) < endpoints.endpoints.count, datagram.bytes.count <= PacketBuffers.capacity
    else { return }
    let listener = endpoints.endpoint(datagram.endpoint).listener
    let path = ClientPath(
      address: datagram.client, endpoint: datagram.endpoint, transport: .udp, realm: plan.listeners[listener].realm)
    let slot = plane.streamSlot()
    plane.buffers.copy(datagram.bytes.span.rawBytes, into: slot, at: 0)
    plane.sends.trafficClass = datagram.trafficClass
    receiveSecureDatagram(slot, 0..<datagram.bytes.count, from: path, acceptsSecure: true)
    plane.sends.trafficClass = 0
    runCommands()
  }
}
