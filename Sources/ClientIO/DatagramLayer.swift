internal import System
internal import NetIO
internal import NetworkTypes
internal import TLS

/// DTLS for a connection whose calls block until a deadline.
final class DatagramLayer {
  let secure: SecureDatagrams
  /// A received datagram, before it is decrypted.
  private var ciphertext = [UInt8](repeating: 0, count: 65_536)

  init(_ context: TLSContext, _ serverName: String) throws(ConnectionFailure) {
    do throws(TLSError) { secure = try SecureDatagrams(context, serverName: serverName) } catch {
      throw .tls(error, TLSConnectionSummary())
    }
  }

  /// Writes close_notify; the next flush sends it.
  func shutdown() { secure.engine.shutdown() }

  /// Runs the handshake; DTLS's timer retransmits flights until the deadline.
  func handshake(
    over socket: borrowing ClientSocket, until deadline: Instant
  ) throws(ConnectionFailure) -> TLSConnectionSummary {
    while true {
      let result = secure.engine.handshake()
      try flush(over: socket)
      switch result {
      case .complete: return secure.engine.summary
      case .failed(let error): throw .tls(error, secure.engine.summary)
      case .inProgress: break
      }
      let now = Instant.read()
      guard now < deadline else { throw .timeout(.handshake) }
      let left = secure.engine.timeout
      let again = now.advanced(by: left ?? .seconds(1))
      // A flood must not keep the timer from being checked.
      guard left != .zero, Readiness.wait(for: socket.rawValue, until: min(again, deadline)) else {
        if !secure.engine.handleTimeout() { throw .timeout(.handshake) }
        try flush(over: socket)
        continue
      }
      switch receive(from: socket) {
      case .bytes(let count): secure.engine.receive(ciphertext.span.rawBytes.extracting(0..<count))
      case .wouldBlock: break
      case .closed: throw .closed
      case .failed(let error): throw ConnectionFailure(error)
      }
    }
  }

  func send(_ bytes: RawSpan, over socket: borrowing ClientSocket) throws(ConnectionFailure) {
    switch secure.engine.write(bytes) {
    case .written: try flush(over: socket)
    case .failed(let error): throw .tls(error, secure.engine.summary)
    case .wouldBlock: throw .timeout(.sending)
    }
  }

  /// Limit of datagrams without a message that one call reads.
  private static let burstLimit = 64

  /// Reads the next message to the beginning of the buffer. `.wouldBlock` if the first `burstLimit` datagrams hold
  /// none: a flood must not keep the caller from its timers.
  func receive(from socket: borrowing ClientSocket, into buffer: inout [UInt8]) throws(ConnectionFailure)
    -> ReadResult<Errno>
  {
    for _ in 0..<Self.burstLimit {
      switch read(into: &buffer) {
      case .bytes(let count): return .bytes(count)
      case .closed: return .closed
      case .failed(let error):
        try? flush(over: socket)
        throw .tls(error, secure.engine.summary)
      case .wouldBlock: break
      }
      try flush(over: socket)
      let result = receive(from: socket)
      guard case .bytes(let count) = result else { return result }
      secure.engine.receive(ciphertext.span.rawBytes.extracting(0..<count))
    }
    return .wouldBlock
  }

  /// Sends the engine's datagrams.
  func flush(over socket: borrowing ClientSocket) throws(ConnectionFailure) {
    do throws(Errno) { try secure.flush(over: socket) } catch { throw ConnectionFailure(error) }
  }

  private func read(into buffer: inout [UInt8]) -> ReadResult<TLSError> {
    var span = buffer.mutableSpan
    var bytes = unsafe span.mutableBytes
    return secure.engine.read(into: &bytes)
  }

  private func receive(from socket: borrowing ClientSocket) -> ReadResult<Errno> {
    Self.receive(from: socket, into: &ciphertext)
  }

  private static func receive(
    from socket: borrowing ClientSocket, into buffer: inout [UInt8]
  ) -> ReadResult<Errno> {
    var span = buffer.mutableSpan
    var bytes = unsafe span.mutableBytes
    return socket.receive(into: &bytes, isStream: false)
  }
}
