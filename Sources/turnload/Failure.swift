internal import ClientIO
internal import LoadGeneration
internal import NetworkTypes

/// The reason why nothing was measured.
struct Failure {
  var message: String
  /// The likely cause as text; nil if none is known.
  var likelyCause: String?

  init(_ failure: CheckFailure) {
    message = failure.message
    likelyCause = failure.advice
  }

  /// `settings`: the load that failed.
  init(_ error: LoadError, _ settings: LoadSettings) {
    message =
      settings.work == .floor
      ? error.description : "\(settings.server) over \(settings.transport.label): \(error.description)"
    likelyCause = error.likelyCause
    if error.isForbiddenPeer, settings.work == .relay {
      likelyCause = Self.forbiddenPeer(settings)
    }
  }

  /// The configuration line that allows this machine as a peer: the peers are sockets of this program.
  private static func forbiddenPeer(_ settings: LoadSettings) -> String? {
    guard let peer = settings.peerAddress?.address else { return nil }
    let block = "\(peer)/\(peer.family.bitCount)"
    let loopback = peer.isLoopback ? "--allow-loopback-peers" : "--allowed-peer-ip=\(peer)"
    return "the server does not relay to this machine (\(peer)), where turnload's peers are. For a test start it with "
      + "--set peers.allow=\(block) (turnpike) or \(loopback) (coturn); relay-to-relay needs neither"
  }
}
