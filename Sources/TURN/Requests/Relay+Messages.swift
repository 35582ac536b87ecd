internal import Crypto
internal import NetworkTypes
internal import STUN

extension Relay {
  /// Handles a STUN message from a client: the basic checks of RFC 8489 section 6.3, then class and method.
  mutating func receiveMessage(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition {
    let message: MessageView
    do {
      message = try MessageView(bytes)
    } catch {
      return error == .noMagicCookie ? receiveClassic(bytes, from: client, now: now) : .drop(.malformed)
    }
    // A FINGERPRINT must be correct (RFC 8489 section 6.3).
    if Fingerprint.verify(message) == false { return .drop(.malformed) }
    let received = ReceivedMessage(message, from: client, now: now)
    switch message.type.messageClass {
    case .request:
      counters.requests &+= 1
      return receiveRequest(received)
    case .indication:
      guard message.unknownRequiredCount == 0, !hasUnconfigured(message) else { return .drop(.unknownAttribute) }
      // A Binding indication is a keepalive and gets no answer (RFC 8489 section 6.3.2).
      return message.type.method == .send ? receiveSend(received) : .drop(.unexpectedMessage)
    case .success, .error:
      return .drop(.unexpectedMessage)
    }
  }

  private mutating func receiveRequest(_ received: borrowing ReceivedMessage) -> Disposition {
    switch received.message.type.method {
    case .binding:
      return receiveBinding(received)
    case .allocate, .refresh, .createPermission, .channelBind, .connect, .connectionBind:
      return authenticate(received)
    default:
      // An unknown method, or one without requests (Send, Data, ConnectionAttempt), is discarded without an answer (RFC
      // 8489 section 6.3).
      return .drop(.unexpectedMessage)
    }
  }

  /// Binding (RFC 8489 section 12): the client gets its reflexive transport address. Credentials are not needed and are
  /// ignored.
  private mutating func receiveBinding(_ received: borrowing ReceivedMessage) -> Disposition {
    guard unsupportedAttributes(of: received.message).isEmpty else {
      return unauthenticatedError(.unknownAttribute, received)
    }
    if let disposition = discover(received) { return disposition }
    if let cause = limiter.takeBinding(received.client.address.address, now: received.now.instant) {
      return .drop(cause)
    }
    counters.bindings &+= 1
    beginSuccess(.binding, received.message.transactionID)
    writer.append(.xorMappedAddress, xor: received.client.address)
    // The answer has a FINGERPRINT if the request has one (RFC 8489 section 6.3.1).
    if received.message.has(.fingerprint) { writer.appendFingerprint() }
    return .reply
  }

  /// Handles a datagram without the magic cookie: an RFC 3489 client gets MAPPED-ADDRESS if the configuration allows
  /// it; everything else is dropped.
  private mutating func receiveClassic(_ bytes: RawSpan, from client: ClientPath, now: Now) -> Disposition {
    guard settings.policy.answersClassicSTUN, client.transport == .udp, var request = ClassicBinding(bytes) else {
      return .drop(.malformed)
    }
    if settings.natDiscovery == nil { request.refuseChange() }
    if let cause = limiter.takeBinding(client.address.address, now: now.instant) { return .drop(cause) }
    if request.unknown.isEmpty, settings.natDiscovery != nil {
      commands.append(.locate(client, bytes.copied()))
      return .deferred
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

  /// Calls the method's handler for an authenticated request, and answers a thrown refusal.
  mutating func perform(_ request: borrowing Request) -> Disposition {
    do throws(Refusal) {
      guard unsupportedAttributes(of: request.message).isEmpty else { throw .code(.unknownAttribute) }
      switch request.message.type.method {
      case .allocate: return try allocate(request)
      case .refresh: return try refresh(request)
      case .createPermission: return try createPermission(request)
      case .channelBind: return try bindChannel(request)
      case .connect: return try connect(request)
      case .connectionBind: return try bindConnection(request)
      default: return .drop(.unexpectedMessage)
      }
    } catch {
      return refuse(request, error)
    }
  }

  /// The comprehension-required attributes of a request that this server does not know, or that belong to an extension
  /// that is not configured (RFC 5780, RFC 7635).
  private func unsupportedAttributes(of message: borrowing MessageView) -> [AttributeType] {
    var types: [AttributeType] = []
    for index in 0..<message.unknownRequiredCount {
      types.append(AttributeType(rawValue: message.unknownRequired[index]))
    }
    if message.has(.accessToken), settings.accessTokenKeys.isEmpty { types.append(.accessToken) }
    if settings.natDiscovery == nil { types += Self.discoveryAttributes.filter { message.asks(for: $0) } }
    return types
  }

  /// Whether an indication has an attribute of an extension that is not configured.
  private func hasUnconfigured(_ message: borrowing MessageView) -> Bool {
    (message.has(.accessToken) && settings.accessTokenKeys.isEmpty)
      || (settings.natDiscovery == nil
        && Self.discoveryAttributes.contains { message.asks(for: $0) })
  }

  // MARK: - Responses

  /// Writes an unauthenticated error response within the stranger's budget: small and unsigned.
  mutating func unauthenticatedError(_ code: ErrorCode, _ received: borrowing ReceivedMessage) -> Disposition {
    let (client, now) = (received.client.address, received.now.instant)
    let isBinding = received.message.type.method == .binding
    if let cause = isBinding ? limiter.takeBinding(client.address, now: now) : limiter.takeChallenge(client, now: now) {
      return .drop(cause)
    }
    beginError(code, received.message)
    if received.message.has(.fingerprint) { writer.appendFingerprint() }
    return .reply
  }

  /// Begins an error response.
  ///
  /// - Parameter unknown: the types in UNKNOWN-ATTRIBUTES; nil: all unsupported ones of the request.
  mutating func beginError(
    _ code: ErrorCode, reason: String? = nil, _ message: borrowing MessageView, unknown: [AttributeType]? = nil
  ) {
    counters.errors &+= 1
    counters.answers.count(message.type.method, code)
    writer.begin(MessageType(message.type.method, .error), transactionID: message.transactionID)
    writer.append(code, reason: reason)
    if code == .unknownAttribute {
      writer.append(unknownAttributes: unknown ?? unsupportedAttributes(of: message))
    }
  }

  /// Ends a response to a known user: SOFTWARE, which unauthenticated answers omit, then the integrity with the
  /// request's key, then the fingerprint.
  mutating func finish(by principal: Principal, fingerprint: Bool) -> Disposition {
    if let key = principal.key {
      if !settings.policy.software.isEmpty { writer.append(.software, text: settings.policy.software) }
      if principal.usesSHA256 {
        authenticator.signSHA256(&writer, key: key)
      } else {
        authenticator.sign(&writer, key: key)
      }
    }
    if fingerprint { writer.appendFingerprint() }
    return .reply
  }

  /// Sends the written message to a client whose input is not the current one.
  ///
  /// - Parameter since: the arrival of the request that the message answers; nil for an indication.
  mutating func sendWritten(to client: ClientPath, since: Instant? = nil) {
    if isCapturing { captureIfWanted(to: client) }
    commands.append(.reply(client, writer.bytes.copied(), since: since))
  }

  /// Turns the disposition of a request that waited into commands, because its datagram is no longer in a buffer.
  ///
  /// - Parameter since: the arrival of the request; nil: unknown.
  mutating func deliverLate(_ disposition: Disposition, to client: ClientPath, since: Instant?) {
    switch disposition {
    case .reply: sendWritten(to: client, since: since)
    case .drop(let cause): counters.count(cause)
    case .toPeer, .toShard, .toClient, .deferred: break
    }
  }
}
