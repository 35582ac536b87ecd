public import NetworkTypes
internal import System
public import TLS
public import TURNClient

/// Options of all checks.
public struct CheckOptions: Sendable {
  /// Timeout of one answer or one connection.
  public var timeout = Duration.seconds(10)
  /// Retransmission over UDP; `timeout` ends it.
  public var retransmission = Retransmission.Settings()
  /// The trusted certificates for TLS; nil: TLS cannot be used.
  public var tls: TLSContext?
  /// The trusted certificates for DTLS.
  public var dtls: TLSContext?
  /// The user's credential; nil: none.
  public var credential: LongTermCredential?
  /// Another user of the same server, for checks of one user's requests for another user's allocation.
  public var otherCredential: LongTermCredential?
  /// Whether the credential was made from a shared secret; only the advice depends on it.
  public var hasSecret = false
  /// The family of the relayed address; nil: the server's default, IPv4.
  public var relayFamily: IPAddress.Family?
  /// The local address of sockets; nil: the kernel chooses.
  public var local: SocketAddress?
  /// Whether a timeout over UDP starts a search for answers from another address.
  public var looksAround = true

  public init() {}

  var effectiveRetransmission: Retransmission.Settings {
    var settings = retransmission
    settings.limit = settings.limit.map { min($0, timeout) } ?? timeout
    settings.streamTimeout = timeout
    return settings
  }

  /// For a series of requests that are each sent once: the answer may take the whole timeout.
  var singleTransmission: Retransmission.Settings {
    var settings = effectiveRetransmission
    settings.requestCount = 1
    settings.initialTimeout = timeout
    settings.lastWait = 1
    return settings
  }

  /// " within 10 s".
  var within: String {
    let milliseconds = timeout.milliseconds
    return milliseconds % 1000 == 0 ? " within \(milliseconds / 1000) s" : " within \(milliseconds) ms"
  }

  /// Connects to the server, within `timeout`.
  func connect(to target: ServerTarget) throws(ConnectionFailure) -> ClientConnection {
    let settings = ClientConnection.Settings(
      transport: target.transport, remote: target.address, local: local, serverName: target.serverName,
      tls: target.transport == .dtls ? dtls : tls)
    return try ClientConnection(settings, until: .read().advanced(by: timeout))
  }
}
