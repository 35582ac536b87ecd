internal import NetIO
internal import NetworkTypes
internal import STUN
internal import TLS

/// One client's TCP or TLS connection: never blocks; what the kernel does not take at once waits here.
final class StreamLink {
  enum Stage {
    case connecting, handshaking, ready, closed
  }

  let socket: ClientSocket
  private(set) var stage = Stage.connecting
  private let secure: SecureStream?
  /// Frames that wait for the connection to stand.
  private var early: [[UInt8]] = []
  /// Bytes that wait for the kernel (TCP; those of TLS wait in its engine).
  private var outgoing: [UInt8] = []
  private var head = 0
  /// The beginning of a frame whose end has not come yet.
  var partial: [UInt8] = []
  var hasSeenMessage = false

  init(_ settings: LoadSettings, from local: SocketAddress?) throws(LoadError) {
    do throws(Errno) { socket = try .tcp(to: settings.server, from: local) } catch {
      throw .socket("a connection", reason: error.description)
    }
    guard settings.transport == .tls else {
      secure = nil
      return
    }
    guard let context = settings.tls else { throw .tls("there is no TLS context") }
    do throws(TLSError) { secure = try SecureStream(context, settings.serverName) } catch { throw .tls("\(error)") }
  }

  var waitingByteCount: Int { secure?.engine.outputByteCount ?? (outgoing.count - head) }

  /// Takes one frame; `flush` sends it.
  func append(_ frame: RawSpan) {
    guard stage == .ready else {
      early.append(frame.copied())
      return
    }
    guard let secure else {
      for index in 0..<frame.byteCount { outgoing.append(frame.byte(at: index)) }
      return
    }
    _ = secure.engine.write(frame)
  }

  /// Goes on with connecting and the handshake; whether the connection stands.
  func advance() throws(LoadError) -> Bool {
    if stage == .connecting {
      if let error = socket.takePendingError() { throw .socket("a connection", reason: error.description) }
      stage = secure == nil ? .ready : .handshaking
    }
    if stage == .handshaking, let secure {
      if case .failed(let error) = secure.engine.handshake() { throw .tls("\(error)") }
      if secure.engine.isEstablished { stage = .ready }
    }
    if stage == .ready, !early.isEmpty {
      let frames = early
      early = []
      for frame in frames { append(frame.span.rawBytes) }
    }
    try flush()
    return stage == .ready
  }

  func flush() throws(LoadError) {
    guard stage != .connecting else { return }
    do throws(Errno) {
      if let secure {
        try secure.flush(over: socket)
      } else if head < outgoing.count {
        head += try Self.send(outgoing, from: head, over: socket)
        if head == outgoing.count {
          outgoing.removeAll(keepingCapacity: true)
          head = 0
        }
      }
    } catch {
      throw .socket("sending", reason: error.description)
    }
  }

  private static func send(
    _ bytes: [UInt8], from head: Int, over socket: borrowing ClientSocket
  ) throws(Errno) -> Int {
    try socket.send(bytes.span.rawBytes.extracting(head..<bytes.count))
  }

  /// Reads what is there into a slot, behind what an unfinished frame left; where the bytes end. Nil: nothing came.
  func read(
    into buffers: inout PacketBuffers, slot: Int, ciphertext: inout [UInt8]
  ) throws(LoadError) -> Int? {
    buffers.copy(partial.span.rawBytes, into: slot, at: 0)
    let begin = partial.count
    guard let secure else {
      var room = buffers.mutableBytes(slot, begin..<PacketBuffers.capacity)
      let count = try Self.count(socket.receive(into: &room, isStream: true))
      return count > 0 ? begin + count : nil
    }
    var end = begin
    var span = ciphertext.mutableSpan
    // Sound: bytes have no invalid patterns.
    var room = unsafe span.mutableBytes
    let count = try Self.count(socket.receive(into: &room, isStream: true))
    if count > 0 { secure.engine.receive(ciphertext.span.rawBytes.extracting(0..<count)) }
    if stage != .ready { guard try advance() else { return nil } }
    while end < PacketBuffers.capacity {
      var room = buffers.mutableBytes(slot, end..<PacketBuffers.capacity)
      switch secure.engine.read(into: &room) {
      case .bytes(let count): end += count
      case .wouldBlock: return end > begin ? end : nil
      case .closed: throw .closed
      case .failed(let error): throw .tls("\(error)")
      }
    }
    return end
  }

  private static func count(_ result: ClientSocket.ReceiveResult) throws(LoadError) -> Int {
    switch result {
    case .bytes(let count): return count
    case .wouldBlock: return 0
    case .closed: throw .closed
    case .failed(let error): throw .socket("receiving", reason: error.description)
    }
  }

  func shutdown() {
    stage = .closed
    secure?.engine.shutdown()
    if let secure { try? secure.flush(over: socket) }
  }
}

/// A TLS engine in a class: a noncopyable value can't be changed in place inside an optional.
private final class SecureStream {
  var engine: TLSEngine

  init(_ context: TLSContext, _ serverName: String) throws(TLSError) {
    engine = try TLSEngine(client: context, serverName: serverName, applicationProtocols: ["stun.turn"])
  }

  func flush(over socket: borrowing ClientSocket) throws(Errno) {
    while engine.hasOutput {
      let sent = try Self.send(engine, over: socket)
      if sent == 0 { return }
      engine.consumeOutput(sent)
    }
  }

  private static func send(_ engine: borrowing TLSEngine, over socket: borrowing ClientSocket) throws(Errno) -> Int {
    try socket.send(engine.output)
  }
}
