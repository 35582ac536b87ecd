internal import Crypto
internal import NetworkTypes
internal import STUN

extension Relay {
  /// A STUN message from a client: the basic checks of RFC 8489 section 6.3, then by class and method.
  mutating func receiveMessage(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition {
    let message: MessageView
    do {
      message = try MessageView(bytes)
    } catch {
      return error == .noMagicCookie ? receiveClassic(bytes, from: client, now: now) : .drop(.malformed)
    }
    // Where there is a FINGERPRINT it must be right (RFC 8489 section 6.3).
    if Fingerprint.verify(message) == false { return .drop(.malformed) }
    switch message.type.messageClass {
    case .request:
      counters.requests &+= 1
      return receiveRequest(message, from: client, now: now)
    case .indication:
      guard message.unknownRequiredCount == 0, !hasUnconfigured(message) else { return .drop(.unknownAttribute) }
      switch message.type.method {
      case .send: return receiveSend(message, from: client, now: now)
      // A keepalive: nothing is due (RFC 8489 section 6.3.2).
      case .binding: return .drop(.unexpectedMessage)
      default: return .drop(.unexpectedMessage)
      }
    case .success, .error:
      return .drop(.unexpectedMessage)
    }
  }

  private mutating func receiveRequest(
    _ message: borrowing MessageView, from client: ClientPath, now: Now
  ) -> Disposition {
    switch message.type.method {
    case .binding:
      return receiveBinding(message, from: client, now: now)
    case .allocate, .refresh, .createPermission, .channelBind, .connect, .connectionBind:
      return authenticate(message, from: client, now: now)
    default:
      // A method that we do not have, or one that knows no requests (Send, Data, ConnectionAttempt): discarded without
      // a word (RFC 8489 section 6.3).
      return .drop(.unexpectedMessage)
    }
  }

  /// Binding (RFC 8489 section 12): who asks is told its reflexive transport address. No credentials are needed;
  /// whoever sends some has them ignored.
  private mutating func receiveBinding(
    _ message: borrowing MessageView, from client: ClientPath, now: Now
  ) -> Disposition {
    guard unsupportedAttributes(of: message).isEmpty else {
      return unauthenticatedError(.unknownAttribute, message, from: client, now: now)
    }
    if let disposition = discover(message, from: client, now: now) { return disposition }
    guard limiter.take(client.address.address, now: now.instant) else { return .drop(.rateLimited) }
    counters.bindings &+= 1
    writer.begin(MessageType(.binding, .success), transactionID: message.transactionID)
    writer.append(.xorMappedAddress, xor: client.address)
    appendSoftware()
    // Answered alike: RFC 8489 section 6.3.1 has the fingerprint follow the request's.
    if message.has(.fingerprint) { writer.appendFingerprint() }
    return .reply
  }

  /// A datagram without the magic cookie: noise, or a client of RFC 3489, which gets MAPPED-ADDRESS where that is
  /// configured.
  private mutating func receiveClassic(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition {
    guard settings.answersClassicSTUN, client.transport == .udp, var request = ClassicBinding(bytes) else {
      return .drop(.malformed)
    }
    if settings.natDiscovery == nil { request.refuseChange() }
    guard limiter.take(client.address.address, now: now.instant) else { return .drop(.rateLimited) }
    if request.unknown.isEmpty, settings.natDiscovery != nil {
      commands.append(.locate(client, bytes.copied()))
      return .waiting
    }
    if request.unknown.isEmpty {
      counters.bindings &+= 1
      request.answer(client.address, in: &writer)
    } else {
      counters.errors &+= 1
      request.refuse(in: &writer)
    }
    return .reply
  }

  /// Once the sender is known: by method.
  mutating func perform(
    _ message: borrowing MessageView, from client: ClientPath, by principal: Principal, now: Now
  ) -> Disposition {
    guard unsupportedAttributes(of: message).isEmpty else {
      return error(.unknownAttribute, message, by: principal)
    }
    switch message.type.method {
    case .allocate: return allocate(message, from: client, by: principal, now: now)
    case .refresh: return refresh(message, from: client, by: principal, now: now)
    case .createPermission: return createPermission(message, from: client, by: principal, now: now)
    case .channelBind: return bindChannel(message, from: client, by: principal, now: now)
    case .connect: return connect(message, from: client, by: principal, now: now)
    case .connectionBind: return bindConnection(message, from: client, by: principal, now: now)
    default: return error(.badRequest, message, by: principal)
    }
  }

  /// The comprehension-required attributes of a request that this server does not know, or knows only by name
  /// because what they are for is not configured: those of RFC 5780 and RFC 7635.
  private func unsupportedAttributes(of message: borrowing MessageView) -> [AttributeType] {
    var types: [AttributeType] = []
    for index in 0..<message.unknownRequiredCount {
      types.append(AttributeType(rawValue: message.unknownRequired[index]))
    }
    if message.has(.accessToken), settings.accessTokenKeys.isEmpty { types.append(.accessToken) }
    if settings.natDiscovery == nil { types += Self.discoveryAttributes.filter { message.has($0) } }
    return types
  }

  /// Whether an indication has one of the attributes that are known by name only.
  private func hasUnconfigured(_ message: borrowing MessageView) -> Bool {
    (message.has(.accessToken) && settings.accessTokenKeys.isEmpty)
      || (settings.natDiscovery == nil
        && (message.has(.changeRequest) || message.has(.padding) || message.has(.responsePort)))
  }

  // MARK: - Responses

  /// An error response to somebody whose credentials were not checked, within a stranger's budget: small, and
  /// nothing of it is signed.
  mutating func unauthenticatedError(
    _ code: ErrorCode, _ message: borrowing MessageView, from client: ClientPath, now: Now
  ) -> Disposition {
    guard limiter.take(client.address.address, now: now.instant) else { return .drop(.rateLimited) }
    beginError(code, message)
    if message.has(.fingerprint) { writer.appendFingerprint() }
    return .reply
  }

  /// An error response to a known user, signed with its key.
  mutating func error(_ code: ErrorCode, _ message: borrowing MessageView, by principal: Principal) -> Disposition {
    beginError(code, message)
    commands.append(.event(.requestRefused(code: code.rawValue)))
    return finish(by: principal, fingerprint: message.has(.fingerprint))
  }

  /// Begins an error response.
  ///
  /// - Parameter unknown: what UNKNOWN-ATTRIBUTES names, where that is not all that the server lacks anywhere.
  mutating func beginError(_ code: ErrorCode, _ message: borrowing MessageView, unknown: [AttributeType]? = nil) {
    counters.errors &+= 1
    writer.begin(MessageType(message.type.method, .error), transactionID: message.transactionID)
    writer.append(code)
    if code == .unknownAttribute {
      writer.append(unknownAttributes: unknown ?? unsupportedAttributes(of: message))
    }
    appendSoftware()
  }

  mutating func appendSoftware() {
    if !settings.software.isEmpty { writer.append(.software, settings.software) }
  }

  /// Ends a response to a known user: SOFTWARE stands already, the integrity with the key of the request comes last
  /// but for the fingerprint.
  mutating func finish(by principal: Principal, fingerprint: Bool) -> Disposition {
    if let key = principal.key {
      if principal.usesSHA256 {
        authenticator.signSHA256(&writer, key: key)
      } else {
        authenticator.sign(&writer, key: key)
      }
    }
    if fingerprint { writer.appendFingerprint() }
    return .reply
  }

  /// Turns a disposition that was reached late into commands: the datagram that it would refer to is long gone.
  mutating func deliverLate(_ disposition: Disposition, to client: ClientPath) {
    switch disposition {
    case .reply: commands.append(.reply(client, writer.bytes.copied()))
    case .drop(let cause): counters.count(cause)
    case .toPeer, .toShard, .toClient, .waiting: break
    }
  }
}
