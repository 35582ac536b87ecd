public import NetworkTypes
public import TLS
public import TURNClient

/// What the checks have in common.
public struct CheckOptions: Sendable {
  /// How long one answer, or one connection, is waited for, in milliseconds.
  public var timeout: UInt32 = 10_000
  /// Retransmission over UDP; `timeout` ends it.
  public var retransmission = Retransmission.Settings()
  /// Whom TLS trusts; nil: TLS can't be used.
  public var tls: TLSContext?
  /// The same for DTLS.
  public var dtls: TLSContext?
  public var credential: LongTermCredential?
  /// Another user of the same server, for checks of what one user may do to another.
  public var otherCredential: LongTermCredential?
  /// Whether the credential was made from a shared secret: only the advice differs.
  public var hasSecret = false
  /// The family of the relayed address; nil: the server's default, IPv4.
  public var relayFamily: IPAddress.Family?
  /// Where sockets are bound; nil: the kernel chooses.
  public var local: SocketAddress?

  public init() {}

  var effectiveRetransmission: Retransmission.Settings {
    var settings = retransmission
    settings.limit = min(settings.limit ?? .max, timeout)
    return settings
  }

  /// " within 10 s".
  var within: String {
    timeout % 1000 == 0 ? " within \(timeout / 1000) s" : " within \(timeout) ms"
  }

  func connection(to target: ServerTarget) -> ClientConnection.Settings {
    ClientConnection.Settings(
      transport: target.transport, remote: target.address, local: local, serverName: target.serverName,
      tls: target.transport == .dtls ? dtls : tls)
  }
}
