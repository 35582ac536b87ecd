public import NetworkTypes
internal import STUN

/// The two addresses and two ports of NAT behaviour discovery (RFC 5780 section 6): `primary` is A1:P1, `alternate`
/// A2:P2. They differ in both, and all four combinations of them can be sent from.
public struct NATDiscovery: Sendable, Equatable {
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

  /// The one that differs from `local` in address and port (Ca:Cp of section 6.1); nil where `local` is none of them.
  func other(than local: SocketAddress) -> SocketAddress? {
    guard all.contains(local) else { return nil }
    return SocketAddress(
      local.address == primary.address ? alternate.address : primary.address,
      port: local.port == primary.port ? alternate.port : primary.port)
  }
}

/// NAT behaviour discovery (RFC 5780), over UDP: only there can an answer come from another address.
extension Relay {
  static let discoveryAttributes = [AttributeType.changeRequest, .padding, .responsePort]
  /// The longest PADDING of an answer: the MTU of nearly every interface, a multiple of four (section 7.6).
  private static let longestPadding = 1500

  /// A Binding request where discovery is served; nil where it is not. What has to be known is which address of ours it
  /// came to.
  mutating func discover(
    _ message: borrowing MessageView, from client: ClientPath, now: Now
  ) -> Disposition? {
    guard settings.natDiscovery != nil else { return nil }
    guard client.transport == .udp else {
      // A connection has one address: what asks for another is not understood.
      let asked = Self.discoveryAttributes.filter { message.has($0) }
      if asked.isEmpty { return nil }
      guard limiter.take(client.address.address, now: now.instant) else { return .drop(.rateLimited) }
      beginError(.unknownAttribute, message, unknown: asked)
      if message.has(.fingerprint) { writer.appendFingerprint() }
      return .reply
    }
    // Section 6.1: PADDING to another port would be a weapon.
    guard message.isWellFormed, !(message.has(.padding) && message.has(.responsePort)),
      (try? message.responsePort()) != .some(0)
    else { return unauthenticatedError(.badRequest, message, from: client, now: now) }
    // An answer of many bytes counts as many.
    for _ in 0...(padding(of: message) / 100) {
      guard limiter.take(client.address.address, now: now.instant) else { return .drop(.rateLimited) }
    }
    commands.append(.locate(client, message.bytes.copied()))
    return .waiting
  }

  /// How much PADDING an answer gets: never more than the request had, lest a small one provoke a large answer.
  private func padding(of message: borrowing MessageView) -> Int {
    min(((message.range(of: .padding)?.count ?? 0) + 3) & ~3, Self.longestPadding)
  }

  /// The engine's answer to `locate`: the request, and which address of ours it came to. Its stranger's budget has been
  /// charged already.
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
    guard wish == nil || other != nil else {
      // Section 6: without another address.
      beginError(.unknownAttribute, message, unknown: [.changeRequest])
      finishDiscovery(message, from: local, to: client.address)
      return
    }
    counters.bindings &+= 1
    let source = self.source(wish ?? ChangeRequest(), at: local, other: other)
    writer.begin(MessageType(.binding, .success), transactionID: message.transactionID)
    writer.append(.mappedAddress, plain: client.address)
    writer.append(.xorMappedAddress, xor: client.address)
    writer.append(.responseOrigin, plain: advertised(source))
    if let other { writer.append(.otherAddress, plain: advertised(other)) }
    if message.has(.padding) { writer.append(.padding, [UInt8](repeating: 0, count: padding(of: message))) }
    appendSoftware()
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

  /// RFC 3489 knows the same under other names.
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

  /// Table 1 of section 6.1.
  private func source(
    _ change: ChangeRequest, at local: SocketAddress, other: SocketAddress?
  ) -> SocketAddress {
    guard let other else { return local }
    return SocketAddress(
      change.changesAddress ? other.address : local.address, port: change.changesPort ? other.port : local.port)
  }

  /// Clients know an address of ours behind a 1:1 NAT by its advertised form.
  private func advertised(_ address: SocketAddress) -> SocketAddress {
    SocketAddress(relayed.advertised(for: address.address) ?? address.address, port: address.port)
  }
}
