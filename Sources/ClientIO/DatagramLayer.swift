internal import NetIO
internal import NetworkTypes
internal import TLS

/// The DTLS engine of a connection, and its handshake. A class, because a noncopyable value can't be borrowed out of
/// an optional yet.
final class DatagramLayer {
  var engine: DTLSEngine
  /// A received datagram, before it is decrypted.
  private var ciphertext = [UInt8](repeating: 0, count: 65_536)

  init(_ context: TLSContext, _ serverName: String) throws(ConnectionFailure) {
    do {
      engine = try DTLSEngine(client: context, serverName: serverName, applicationProtocols: ["stun.turn"])
    } catch {
      throw .tls(error, TLSConnectionSummary())
    }
  }

  /// Flights are sent again by DTLS's own clock until the deadline, whatever else comes meanwhile.
  func handshake(
    over socket: borrowing ClientSocket, until deadline: Instant
  ) throws(ConnectionFailure) -> TLSConnectionSummary {
    while true {
      let result = engine.handshake()
      try flush(over: socket)
      switch result {
      case .complete: return engine.summary
      case .failed(let error): throw .tls(error, engine.summary)
      case .inProgress: break
      }
      let now = Instant.read()
      guard now < deadline else { throw .timeout(.handshake) }
      let left = engine.timeout
      let again = now.advanced(byMilliseconds: UInt32(clamping: left ?? 1000))
      // A flood must not keep the clock from being looked at.
      guard left != 0, Readiness.wait(for: socket.rawValue, until: min(again, deadline)) else {
        if !engine.handleTimeout() { throw .timeout(.handshake) }
        try flush(over: socket)
        continue
      }
      switch receive(from: socket) {
      case .bytes(let count): engine.receive(ciphertext.span.rawBytes.extracting(0..<count))
      case .wouldBlock: break
      case .closed: throw .closed
      case .failed(let error): throw ConnectionFailure(error)
      }
    }
  }

  func send(_ bytes: RawSpan, over socket: borrowing ClientSocket) throws(ConnectionFailure) {
    switch engine.write(bytes) {
    case .written: try flush(over: socket)
    case .failed(let error): throw .tls(error, engine.summary)
    case .wouldBlock: throw .timeout(.sending)
    }
  }

  /// Datagrams without a message in them that are taken in a row.
  private static let burstLimit = 64

  /// The next message, at the beginning of the buffer; would block where there is none among what came first: a flood
  /// of what is none must not keep the caller from its timers.
  func receive(from socket: borrowing ClientSocket, into buffer: inout [UInt8]) throws(ConnectionFailure)
    -> ClientSocket.ReceiveResult
  {
    for _ in 0..<Self.burstLimit {
      switch read(into: &buffer) {
      case .bytes(let count): return .bytes(count)
      case .closed: return .closed
      case .failed(let error):
        try? flush(over: socket)
        throw .tls(error, engine.summary)
      case .wouldBlock: break
      }
      try flush(over: socket)
      let result = receive(from: socket)
      guard case .bytes(let count) = result else { return result }
      engine.receive(ciphertext.span.rawBytes.extracting(0..<count))
    }
    return .wouldBlock
  }

  /// Sends what the engine has to send. A datagram that finds no room is lost, as on any link.
  func flush(over socket: borrowing ClientSocket) throws(ConnectionFailure) {
    while let datagram = engine.takeDatagram() {
      do { _ = try socket.send(datagram.span.rawBytes) } catch { throw ConnectionFailure(error) }
    }
  }

  private func read(into buffer: inout [UInt8]) -> TLSEngine.ReadResult {
    var span = buffer.mutableSpan
    var bytes = unsafe span.mutableBytes
    return engine.read(into: &bytes)
  }

  private func receive(from socket: borrowing ClientSocket) -> ClientSocket.ReceiveResult {
    Self.receive(from: socket, into: &ciphertext)
  }

  private static func receive(
    from socket: borrowing ClientSocket, into buffer: inout [UInt8]
  ) -> ClientSocket.ReceiveResult {
    var span = buffer.mutableSpan
    var bytes = unsafe span.mutableBytes
    return socket.receive(into: &bytes, isStream: false)
  }
}
