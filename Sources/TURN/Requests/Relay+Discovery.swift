public import NetworkTypes
internal import STUN

/// The two addresses and two ports of NAT behaviour discovery (RFC 5780 section 6): `primary` is A1:P1, `alternate`
/// A2:P2. They differ in address and port, and the server has a socket for all four combinations.
public struct DiscoveryAddresses: Sendable, Equatable {
  public var primary: SocketAddress
  public var alternate: SocketAddress

  public init(primary: SocketAddress, alternate: SocketAddress) {
    self.primary = primary
    self.alternate = alternate
  }

  /// The four combinations.
  public var all: [SocketAddress] {
    [primary.address, alternate.address].flatMap { address in
      [primary.port, alternate.port].map { SocketAddress(address, port: $0) }
    }
  }

  /// The address that differs from `local` in IP address and port (Ca:Cp of section 6.1); nil if `local` is none of the
  /// four.
  func other(than local: SocketAddress) -> SocketAddress? {
    guard all.contains(local) else { return nil }
    return SocketAddress(
      local.address == primary.address ? alternate.address : primary.address,
      port: local.port == primary.port ? alternate.port : primary.port)
  }
}

/// NAT behaviour discovery (RFC 5780), over UDP only, because only there can an answer come from another address.
extension Relay {
  static let discoveryAttributes = [AttributeType.changeRequest, .padding, .responsePort]
  /// Limit of PADDING in an answer: the usual MTU, a multiple of four (section 7.6).
  private static let longestPadding = 1500

  /// Handles a Binding request with discovery; nil if discovery is not configured. The engine must first tell which of
  /// our addresses received it.
  mutating func discover(_ received: borrowing ReceivedMessage) -> Disposition? {
    guard settings.natDiscovery != nil else { return nil }
    let message = received.message
    let client = received.client
    guard client.transport == .udp else {
      // A connection has only one address: a request for another one gets 420.
      let asked = Self.discoveryAttributes.filter { message.asks(for: $0) }
      if asked.isEmpty { return nil }
      if let cause = limiter.takeBinding(client.address.address, now: received.now.instant) { return .drop(cause) }
      beginError(.unknownAttribute, message, unknown: asked)
      if message.has(.fingerprint) { writer.appendFingerprint() }
      return .reply
    }
    // Section 6.1 forbids PADDING with RESPONSE-PORT, which would allow attacks on other ports.
    guard message.malformedAttribute == nil, !(message.has(.padding) && message.has(.responsePort)),
      (try? message.responsePort()) != .some(0)
    else { return unauthenticatedError(.badRequest, received) }
    // A long answer counts as several answers.
    for _ in 0...(padding(of: message) / 100) {
      if let cause = limiter.takeBinding(client.address.address, now: received.now.instant) { return .drop(cause) }
    }
    commands.append(.locate(client, message.bytes.copied()))
    return .deferred
  }

  /// The bytes of PADDING in an answer: never more than in the request, so that a small request gets no large answer.
  private func padding(of message: borrowing MessageView) -> Int {
    min(((message.range(of: .padding)?.count ?? 0) + 3) & ~3, Self.longestPadding)
  }

  /// The engine's answer to `locate`: the request, and the address of ours that received it. The stranger's budget has
  /// been charged already.
  public mutating func receiveLocated(
    _ bytes: [UInt8], from client: ClientPath, at local: SocketAddress, now: Now
  ) {
    guard let discovery = settings.natDiscovery else { return }
    let other = discovery.other(than: local)
    guard let message = try? MessageView(bytes.span.rawBytes) else {
      answerClassic(bytes, from: client, at: local, other: other)
      return
    }
    let wish = try? message.changeRequest()
    guard other != nil || wish?.isAny != true else {
      // Section 6: without another address CHANGE-REQUEST cannot be served.
      beginError(.unknownAttribute, message, unknown: [.changeRequest])
      finishDiscovery(message, from: local, to: client.address)
      return
    }
    counters.bindings &+= 1
    let source = self.source(wish ?? ChangeRequest(), at: local, other: other)
    beginSuccess(.binding, message.transactionID)
    writer.append(.mappedAddress, plain: client.address)
    writer.append(.xorMappedAddress, xor: client.address)
    writer.append(.responseOrigin, plain: advertised(source))
    if let other { writer.append(.otherAddress, plain: advertised(other)) }
    if message.has(.padding) { writer.append(.padding, [UInt8](repeating: 0, count: padding(of: message))) }
    var target = client.address
    if let port = try? message.responsePort() { target.port = port }
    finishDiscovery(message, from: source, to: target)
  }

  private mutating func finishDiscovery(
    _ message: borrowing MessageView, from source: SocketAddress, to target: SocketAddress
  ) {
    if message.has(.fingerprint) { writer.appendFingerprint() }
    commands.append(.replyFrom(source, to: target, writer.bytes.copied()))
  }

  /// Answers RFC 3489's CHANGE-REQUEST, with that RFC's attribute names.
  private mutating func answerClassic(
    _ bytes: [UInt8], from client: ClientPath, at local: SocketAddress, other: SocketAddress?
  ) {
    guard var request = ClassicBinding(bytes.span.rawBytes) else { return }
    if other == nil { request.refuseChange() }
    let source = self.source(request.change, at: local, other: other)
    if request.unknown.isEmpty {
      counters.bindings &+= 1
      request.answer(
        client.address, source: advertised(source), changed: other.map { advertised($0) }, in: &writer)
      commands.append(.replyFrom(source, to: client.address, writer.bytes.copied()))
    } else {
      counters.errors &+= 1
      request.refuse(in: &writer)
      commands.append(.replyFrom(local, to: client.address, writer.bytes.copied()))
    }
  }

  /// The source address by table 1 of section 6.1.
  private func source(
    _ change: ChangeRequest, at local: SocketAddress, other: SocketAddress?
  ) -> SocketAddress {
    guard let other else { return local }
    return SocketAddress(
      change.changesAddress ? other.address : local.address, port: change.changesPort ? other.port : local.port)
  }

  /// The advertised form of our address; the same without a 1:1 NAT.
  private func advertised(_ address: SocketAddress) -> SocketAddress {
    SocketAddress(relayed.advertised(for: address.address) ?? address.address, port: address.port)
  }
}
