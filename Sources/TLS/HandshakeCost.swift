internal import NetworkTypes
internal import System

/// The CPU time of a TLS handshake for a server, on this machine and with its key.
public enum HandshakeCost {
  /// The time of a server's answer to a ClientHello, including the signature: the shortest of several. Nil if it cannot
  /// be measured.
  public static func measure(_ files: CertificateFiles) -> Duration? {
    var shortest: UInt64?
    do {
      let server = try TLSContext(server: files)
      // The client's authorities do not matter, because the client never reads the answer.
      let client = try TLSContext(client: .authorities(files.chain))
      for _ in 0..<4 {
        var asking = try TLSEngine(client: client, serverName: "localhost")
        asking.handshake()
        let begin = Instant.read()
        var answering = try TLSEngine(server: server)
        answering.receive(asking.output)
        answering.handshake()
        guard answering.failure == nil, answering.hasOutput else { return nil }
        shortest = min(shortest ?? .max, Instant.read().nanoseconds(since: begin))
      }
    } catch {
      return nil
    }
    return shortest.map { .nanoseconds(Int64(clamping: $0)) }
  }
}
