public import NetIO
internal import NetworkTypes
public import System
public import TLS

/// TLS over a client's socket. A class, because a noncopyable engine cannot be borrowed out of an optional yet.
public final class SecureStream {
  public var engine: TLSEngine

  public init(_ context: TLSContext, serverName: String) throws(TLSError) {
    engine = try TLSEngine(client: context, serverName: serverName, applicationProtocols: ["stun.turn"])
  }

  /// Sends the engine's output until the socket is full; returns whether all of it was sent.
  public func flush(over socket: borrowing ClientSocket) throws(Errno) -> Bool {
    while engine.hasOutput {
      let sent = try Self.send(engine, over: socket)
      engine.consumeOutput(sent)
      if sent == 0 { return false }
    }
    return true
  }

  private static func send(_ engine: borrowing TLSEngine, over socket: borrowing ClientSocket) throws(Errno) -> Int {
    try socket.send(engine.output)
  }
}

/// For connections that block until a deadline.
extension SecureStream {
  convenience init(_ context: TLSContext, _ serverName: String) throws(ConnectionFailure) {
    do throws(TLSError) { try self.init(context, serverName: serverName) } catch {
      throw .tls(error, TLSConnectionSummary())
    }
  }

  /// Sends all of the engine's output.
  func flush(over socket: borrowing ClientSocket, until deadline: Instant) throws(ConnectionFailure) {
    while true {
      do throws(Errno) { if try flush(over: socket) { return } } catch { throw ConnectionFailure(error) }
      if !Readiness.wait(for: socket.rawValue, writing: true, until: deadline) { throw .timeout(.sending) }
    }
  }

  /// Reads plaintext to the end of the buffer, from `offset` on.
  func read(into buffer: inout [UInt8], at offset: Int) -> ReadResult<TLSError> {
    var span = buffer.mutableSpan
    var bytes = unsafe span.mutableBytes
    var room = bytes._mutatingExtracting(offset..<bytes.byteCount)
    return engine.read(into: &room)
  }
}

/// DTLS over a client's socket. A class for the same reason as `SecureStream`.
public final class SecureDatagrams {
  public var engine: DTLSEngine

  public init(_ context: TLSContext, serverName: String) throws(TLSError) {
    engine = try DTLSEngine(client: context, serverName: serverName, applicationProtocols: ["stun.turn"])
  }

  /// Sends the engine's datagrams. A datagram for which the socket has no room is lost, as on any link.
  public func flush(over socket: borrowing ClientSocket) throws(Errno) {
    while engine.hasOutput {
      _ = try Self.send(engine, over: socket)
      engine.removeDatagram()
    }
  }

  private static func send(_ engine: borrowing DTLSEngine, over socket: borrowing ClientSocket) throws(Errno) -> Int {
    try socket.send(engine.datagram)
  }
}
