public import NetworkTypes
internal import STUN

/// The server to which authenticated Allocates are redirected (RFC 8489 section 10, RFC 8656 section 7.2, step 11).
public struct Redirect: Sendable, Equatable {
  public var server: IPAddress
  /// Nil: the default port of the client's transport, 3478 or 5349.
  public var port: UInt16?
  /// ALTERNATE-DOMAIN: the name in the other server's certificate; empty: the same name.
  public var domain: [UInt8]

  public init(server: IPAddress, port: UInt16?, domain: [UInt8]) {
    self.server = server
    self.port = port
    self.domain = domain
  }
}

extension Relay {
  /// The alternate server for a client. It must have the client's family (RFC 8489 section 10); a client of the other
  /// family could not reach it and is served here.
  func alternateServer(for client: ClientPath) -> SocketAddress? {
    guard let redirect = settings.redirect, redirect.server.family == client.address.family else { return nil }
    return SocketAddress(redirect.server, port: redirect.port ?? (client.transport.isSecure ? 5349 : 3478))
  }

  /// Answers 300 with ALTERNATE-SERVER, signed. Only authenticated clients get it: unauthenticated redirection could be
  /// used to attack a third party.
  mutating func redirect(_ request: borrowing Request, to server: SocketAddress) -> Disposition {
    beginError(.tryAlternate, request.message)
    writer.append(.alternateServer, plain: server)
    if let domain = settings.redirect?.domain, !domain.isEmpty { writer.append(.alternateDomain, domain) }
    commands.append(.event(.requestRefused(code: ErrorCode.tryAlternate.rawValue, user: request.principal.username)))
    return finish(by: request.principal, fingerprint: request.message.has(.fingerprint))
  }
}
