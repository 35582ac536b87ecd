internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN
internal import Tables

/// The record of a TCP client's connection for another process.
struct ConnectionRecord {
  var handle = Handle<Connection>(index: 0, generation: 1)
  /// The index of its descriptor.
  var descriptor: UInt32 = 0
  var remote = SocketAddress.none
  var local = SocketAddress.none
  /// `Connection.localAddress`, which a proxy may have named.
  var localAddress = IPAddress.ipv4Any
  var path = ClientPath.unread
  var layer = Layer.plain
  var hasSpoken = false
  var isProven = false
  var lastHeard = Instant(nanoseconds: 0)
  /// The beginning of an incomplete frame.
  var partial: [UInt8] = []
  /// The bytes that wait to be written, and how many of them belong to a frame that is partly written.
  var outgoing: [UInt8] = []
  var begun: UInt32 = 0

  /// The layers that can move: a TLS engine cannot.
  enum Layer: UInt8 {
    case proxyHeader = 0
    case undecided = 1
    case plain = 2
  }

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&handle)
    try coder.code(&descriptor)
    try coder.code(&remote)
    try coder.code(&local)
    try coder.code(&localAddress)
    try coder.code(&path)
    try coder.code(&layer)
    try coder.code(&hasSpoken)
    try coder.code(&isProven)
    try coder.code(&lastHeard.nanoseconds)
    try coder.code(&partial)
    try coder.code(&outgoing)
    try coder.code(&begun)
    guard begun <= outgoing.count, outgoing.count <= BlockPool.largest, partial.count <= PacketBuffers.capacity,
      path.transport == .tcp
    else { throw coder.failure("the fields of a connection contradict each other") }
  }
}

/// The record of a connection between a relayed transport address and a peer (RFC 6062) for another process.
struct PipeRecord {
  var id = Handle<PeerConnection>(index: 0, generation: 1)
  var descriptor: UInt32 = 0
  var remote = SocketAddress.none
  var local = SocketAddress.none
  var state = State.unbound
  var client = OptionalHandle<Connection>()
  var awaitsAnswer = false
  /// The bytes that wait for the peer.
  var toPeer: [UInt8] = []
  var peerHasEnded = false
  var clientHasEnded = false
  var peerIsTold = false
  var clientIsTold = false
  var lastMoved = Instant(nanoseconds: 0)

  enum State: UInt8 {
    case connecting = 0
    case unbound = 1
    case bound = 2
  }

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    try coder.code(&id)
    try coder.code(&descriptor)
    try coder.code(&remote)
    try coder.code(&local)
    try coder.code(&state)
    try coder.code(&client)
    try coder.code(&awaitsAnswer)
    try coder.code(&toPeer)
    try coder.code(&peerHasEnded)
    try coder.code(&clientHasEnded)
    try coder.code(&peerIsTold)
    try coder.code(&clientIsTold)
    try coder.code(&lastMoved.nanoseconds)
    guard toPeer.count <= BlockPool.largest, (state == .bound) == (client.handle != nil) else {
      throw coder.failure("the fields of a pipe contradict each other")
    }
  }
}

/// The clients that move to another process: UDP, and TCP without TLS. A TCP allocation moves with all its data
/// connections or not at all.
struct MovingClients {
  private(set) var connections: Set<Handle<Connection>> = []
  private(set) var pipes: Set<Handle<Pipe>> = []

  init() {}

  func contains(_ client: ClientPath) -> Bool {
    switch client.transport {
    case .udp: true
    case .tcp: client.connection.map { connections.contains(Handle(sameAs: $0)) } ?? false
    case .tls, .dtls: false
    }
  }

  mutating func insert(_ connection: Handle<Connection>) { connections.insert(connection) }

  mutating func insert(_ pipe: Handle<Pipe>) { pipes.insert(pipe) }

  mutating func keep(_ client: ClientPath) {
    if let connection = client.connection { connections.remove(Handle(sameAs: connection)) }
  }

  mutating func keep(_ connection: Handle<Connection>) { connections.remove(connection) }

  func contains(_ connection: Handle<Connection>) -> Bool { connections.contains(connection) }
}
