internal import NetIO
internal import NetworkTypes
internal import TLS

/// The TLS engine of a connection. A class, because a noncopyable value can't be borrowed out of an optional yet.
final class SecureLayer {
  var engine: TLSEngine

  init(_ context: TLSContext, _ serverName: String) throws(ConnectionFailure) {
    do {
      engine = try TLSEngine(client: context, serverName: serverName, applicationProtocols: ["stun.turn"])
    } catch {
      throw .tls(error, TLSConnectionSummary())
    }
  }

  /// Sends what the engine has to send.
  func flush(over socket: borrowing ClientSocket, until deadline: Instant) throws(ConnectionFailure) {
    while engine.hasOutput {
      let sent = try Self.send(engine, over: socket)
      engine.consumeOutput(sent)
      if sent == 0, !Readiness.wait(for: socket.rawValue, writing: true, until: deadline) { throw .timeout(.sending) }
    }
  }

  private static func send(
    _ engine: borrowing TLSEngine, over socket: borrowing ClientSocket
  ) throws(ConnectionFailure) -> Int {
    do { return try socket.send(engine.output) } catch { throw ConnectionFailure(error) }
  }

  /// Reads plaintext to the end of the buffer, from `offset` on.
  func read(into buffer: inout [UInt8], at offset: Int) -> TLSEngine.ReadResult {
    var span = buffer.mutableSpan
    var bytes = unsafe span.mutableBytes
    var room = bytes._mutatingExtracting(offset..<bytes.byteCount)
    return engine.read(into: &room)
  }
}
