internal import NetworkTypes
internal import STUN

/// Redirection to another server (RFC 8489 section 10).
extension Relay {
  /// The alternate server for a client. It must have the client's family (RFC 8489 section 10); a client of the other
  /// family could not reach it and is served here.
  func alternateServer(for client: ClientPath) -> SocketAddress? {
    guard let server = settings.policy.redirect.server, server.address.family == client.address.family else {
      return nil
    }
    return SocketAddress(server.address, port: server.port ?? client.transport.defaultPort)
  }

  /// Answers 300 with ALTERNATE-SERVER, signed. Only authenticated clients get it: unauthenticated redirection could be
  /// used to attack a third party.
  mutating func redirect(_ request: borrowing Request, to server: SocketAddress) -> Disposition {
    beginError(.tryAlternate, request.message)
    writer.append(.alternateServer, plain: server)
    let domain = settings.policy.redirect.domain
    if !domain.isEmpty { writer.append(.alternateDomain, text: domain) }
    commands.append(.event(.requestRefused(code: ErrorCode.tryAlternate.rawValue, user: request.principal.username)))
    return finish(by: request.principal, fingerprint: request.message.has(.fingerprint))
  }
}
