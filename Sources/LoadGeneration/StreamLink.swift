internal import ClientIO
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import System
internal import TLS

/// One client's TCP or TLS connection, or DTLS association. It never blocks: stream bytes that the kernel does not
/// accept wait here, and a datagram that it does not accept is lost.
final class StreamLink {
  enum Stage {
    case connecting, handshaking, ready, closed
  }

  let socket: ClientSocket
  private(set) var stage = Stage.connecting
  private let secure: SecureStream?
  private let datagrams: SecureDatagrams?
  /// Frames that wait until the connection is ready.
  private var early: [[UInt8]] = []
  /// Bytes that wait for the kernel (TCP; those of TLS wait in its engine).
  private var outgoing: [UInt8] = []
  private var head = 0
  /// The beginning of a frame whose end has not arrived.
  var partial: [UInt8] = []
  var hasSeenMessage = false

  init(_ settings: LoadSettings, from local: SocketAddress?) throws(LoadError) {
    let isStream = settings.transport.isStream
    do throws(Errno) {
      socket = try isStream ? .tcp(to: settings.server, from: local) : .udp(to: settings.server, from: local)
    } catch {
      throw .socket("a connection", reason: error.description)
    }
    guard settings.transport.isSecure else {
      secure = nil
      datagrams = nil
      return
    }
    guard let context = settings.tls else { throw .tls("there is no TLS context") }
    do throws(TLSError) {
      secure = isStream ? try SecureStream(context, serverName: settings.serverName) : nil
      datagrams = isStream ? nil : try SecureDatagrams(context, serverName: settings.serverName)
    } catch {
      throw .tls("\(error)")
    }
  }

  var waitingByteCount: Int { datagrams != nil ? 0 : secure?.engine.outputByteCount ?? (outgoing.count - head) }

  /// Queues one frame; `flush` sends it.
  func append(_ frame: RawSpan) {
    guard stage == .ready else {
      early.append(frame.copied())
      return
    }
    if let datagrams {
      _ = datagrams.engine.write(frame)
      return
    }
    guard let secure else {
      for index in 0..<frame.byteCount { outgoing.append(frame.byte(at: index)) }
      return
    }
    _ = secure.engine.write(frame)
  }

  /// Continues connecting and the handshake; returns whether the connection is ready.
  func advance() throws(LoadError) -> Bool {
    if stage == .connecting {
      if let error = socket.takePendingError() { throw .socket("a connection", reason: error.description) }
      stage = secure == nil && datagrams == nil ? .ready : .handshaking
    }
    if stage == .handshaking, let datagrams {
      if case .failed(let error) = datagrams.engine.handshake() { throw .tls("\(error)") }
      if datagrams.engine.isEstablished { stage = .ready }
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
      if let datagrams {
        try datagrams.flush(over: socket)
      } else if let secure {
        _ = try secure.flush(over: socket)
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

  /// Reads bytes into a slot, after the beginning of an unfinished frame, and returns their end. Nil: no bytes have
  /// arrived.
  func read(
    into buffers: inout PacketBuffers, slot: Int, ciphertext: inout [UInt8]
  ) throws(LoadError) -> Int? {
    if let datagrams { return try read(datagrams, into: &buffers, slot: slot, ciphertext: &ciphertext) }
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

  /// Reads one datagram, which holds at most one message.
  private func read(
    _ datagrams: SecureDatagrams, into buffers: inout PacketBuffers, slot: Int, ciphertext: inout [UInt8]
  ) throws(LoadError) -> Int? {
    var span = ciphertext.mutableSpan
    // Sound: bytes have no invalid patterns.
    var cipherRoom = unsafe span.mutableBytes
    let count = try Self.count(socket.receive(into: &cipherRoom, isStream: false))
    guard count > 0 else { return nil }
    datagrams.engine.receive(ciphertext.span.rawBytes.extracting(0..<count))
    if stage != .ready { _ = try advance() }
    var room = buffers.mutableBytes(slot, 0..<PacketBuffers.capacity)
    switch datagrams.engine.read(into: &room) {
    case .bytes(let count): return count
    case .wouldBlock: return nil
    case .closed: throw .closed
    case .failed(let error): throw .tls("\(error)")
    }
  }

  /// Retries to send bytes that the kernel did not accept; retransmits a lost flight of the DTLS handshake.
  func pushWaiting() throws(LoadError) {
    if stage == .handshaking, let datagrams, !datagrams.engine.handleTimeout() { throw .tls("no handshake") }
    if waitingByteCount > 0 || datagrams != nil { try flush() }
  }

  private static func count(_ result: ReadResult<Errno>) throws(LoadError) -> Int {
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
    if let secure { _ = try? secure.flush(over: socket) }
    datagrams?.engine.shutdown()
    try? datagrams?.flush(over: socket)
  }
}
