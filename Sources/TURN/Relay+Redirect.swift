public import NetworkTypes
internal import STUN

/// Where authenticated Allocates are sent instead of being served (RFC 8489 section 10, RFC 8656 section 7.2,
/// step 11).
public struct Redirect: Sendable, Equatable {
  public var server: IPAddress
  /// Nil: the default port of the transport that the client came by, 3478 or 5349.
  public var port: UInt16?
  /// ALTERNATE-DOMAIN: the name in the other server's certificate; empty: the same as here.
  public var domain: [UInt8]

  public init(server: IPAddress, port: UInt16?, domain: [UInt8]) {
    self.server = server
    self.port = port
    self.domain = domain
  }
}

extension Relay {
  /// The server that a client is to try. It must be of the family that the client came by (RFC 8489 section 10): a
  /// client of the other family could not reach it, and is served here.
  func alternateServer(for client: ClientPath) -> SocketAddress? {
    guard let redirect = settings.redirect, redirect.server.family == client.address.family else { return nil }
    return SocketAddress(redirect.server, port: redirect.port ?? (client.transport.isSecure ? 5349 : 3478))
  }

  /// 300 with ALTERNATE-SERVER, signed: only to somebody whose credentials are good, since whoever redirects
  /// strangers makes them attack a third party.
  mutating func redirect(
    _ message: borrowing MessageView, to server: SocketAddress, by principal: Principal
  ) -> Disposition {
    beginError(.tryAlternate, message)
    writer.append(.alternateServer, plain: server)
    if let domain = settings.redirect?.domain, !domain.isEmpty { writer.append(.alternateDomain, domain) }
    commands.append(.event(.requestRefused(code: ErrorCode.tryAlternate.rawValue)))
    return finish(by: principal, fingerprint: message.has(.fingerprint))
  }
}
