internal import Log
internal import NetworkTypes
internal import System
internal import TLS

/// The handshake threads.
extension Server {
  /// The longest RSA key without a warning, in bits: a signature with twice the bits takes five times as long.
  private static let longestRSAKey = 2048

  /// Logs the CPU time of a handshake with this key, and warns about a slow one.
  func logHandshakeCost(_ certificates: ServerCertificates) {
    guard let cost = HandshakeCost.measure(certificates.standard) else { return }
    let microseconds = UInt64(max(cost / .microseconds(1), 1))
    let perSecond = 1_000_000 / max(microseconds, 1)
    log.info(
      "handshake-cost", ("microseconds", .number(microseconds)), ("handshakes-per-second", .number(perSecond)),
      ("threads", .number(HandshakeService.count(shards: shardCount))))
    let bits = certificates.all.compactMap(\.rsaBits).max() ?? 0
    guard bits > Self.longestRSAKey else { return }
    log.warning(
      "certificate-key-slow", ("key", "RSA-\(bits)"),
      ("effect", "TLS handshakes cost five times as much as with RSA-2048"),
      ("remedy", "use a P-256 key"))
  }

  /// Starts the handshake threads; each shard uses one, which it may share with others.
  func startHandshakes() throws(StartFailure) {
    let confinement = host.confinement
    for index in 0..<HandshakeService.count(shards: shardCount) {
      do throws(Errno) {
        let service = try HandshakeService()
        handshakeThreads.append(
          try Thread(name: "handshakes-\(index)") {
            confinement?.confineThread()
            service.run()
          })
        handshakes.append(service)
      } catch {
        throw .failed("cannot start a thread for handshakes: \(error)")
      }
    }
  }
}
