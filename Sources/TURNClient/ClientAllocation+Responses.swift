public import NetworkTypes
internal import STUN

extension ClientAllocation {
  /// The kind of received bytes.
  public enum Received: Hashable, Sendable {
    /// A peer's datagram, at this range of the bytes.
    case data(peer: SocketAddress, range: Range<Int>, isChannelData: Bool)
    /// An ICMP error about a datagram that we sent to this peer (RFC 8656 section 11.6).
    case icmp(peer: SocketAddress, type: UInt8, code: UInt8)
    /// The answer to our request: see `takeEvent` and `takeOutput`.
    case response
    case discarded(Discarded)
  }

  /// Receives a datagram, or one frame of a stream.
  public mutating func receive(_ bytes: RawSpan, now: Instant) -> Received {
    if bytes.byteCount > 0, 0x40...0x7F ~= bytes.byte(at: 0) { return receiveChannelData(bytes) }
    let message: MessageView
    do { message = try MessageView(bytes) } catch { return .discarded(.notSTUN) }
    if Fingerprint.verify(message) == false { return .discarded(.wrongFingerprint) }
    switch message.type.messageClass {
    case .indication: return receiveIndication(message)
    case .request: return .discarded(.unexpected)
    case .success, .error: return receiveResponse(message, now: now)
    }
  }

  private mutating func receiveResponse(_ message: borrowing MessageView, now: Instant) -> Received {
    guard let transaction = transactions[message.transactionID],
      message.type.method == transaction.operation.method
    else { return .discarded(.unknownTransaction) }
    // A challenge is unsigned: the server does not know yet which key the client has.
    let code = message.type.messageClass == .error ? (try? message.errorCode()?.code) ?? nil : nil
    if code == .unauthenticated || code == .staleNonce {
      transactions[message.transactionID] = nil
      answerChallenge(transaction, isStale: code == .staleNonce, message, now: now)
      return .response
    }
    let isAuthenticated = transaction.isSigned && authentication.verify(message, with: &authenticator)
    let isCredible =
      isAuthenticated || !transaction.isSigned
      || (settings.trustsUnsignedErrors && message.type.messageClass == .error
        && !message.has(.messageIntegrity) && !message.has(.messageIntegritySHA256))
    guard isCredible else {
      if settings.isStream {
        transactions[message.transactionID] = nil
        finish(transaction, .integrityViolated, now: now)
        return .response
      }
      transactions[message.transactionID]?.discarded = .wrongIntegrity
      return .discarded(.wrongIntegrity)
    }
    transactions[message.transactionID] = nil
    if message.type.messageClass == .error {
      let failure = RequestFailure(response: message, isAuthenticated: isAuthenticated || !transaction.isSigned)
      finish(transaction, failure, now: now)
    } else {
      let failure = accept(message, for: transaction.operation, now: now)
      finish(transaction, failure, now: now)
      // The server has made an allocation nevertheless, and would keep it until it expires.
      if failure != nil, transaction.operation == .allocate { release() }
    }
    return .response
  }

  // MARK: - 401 and 438 (RFC 8489 section 9.2.5)

  /// Limit of new nonces that are tried for one request.
  private static let staleNonceLimit = 3

  private mutating func answerChallenge(
    _ transaction: Transaction, isStale: Bool, _ message: borrowing MessageView, now: Instant
  ) {
    guard let credential = settings.credential else {
      finish(transaction, .credentialsNeeded(realm: message.text(.realm) ?? ""), now: now)
      return
    }
    if !isStale, transaction.isSigned {
      let isNonceSame = message.value(of: .nonce)?.isEqual(to: transaction.nonce) ?? true
      finish(transaction, .wrongCredentials(isNonceSame: isNonceSame), now: now)
      return
    }
    if let complaint = authentication.learn(from: message, credential: credential) {
      finish(transaction, .authenticationUnsupported(complaint), now: now)
      return
    }
    var transaction = transaction
    if isStale { transaction.staleNonces += 1 }
    guard transaction.staleNonces <= Self.staleNonceLimit else {
      finish(transaction, .nonceNeverFresh, now: now)
      return
    }
    restart(transaction, now: now)
  }

  // MARK: - Success

  /// Applies a success response; if it is malformed, returns the failure.
  private mutating func accept(
    _ message: borrowing MessageView, for operation: Operation, now: Instant
  ) -> RequestFailure? {
    switch operation {
    case .allocate: return acceptAllocation(message, now: now)
    case .createPermission(let peers):
      for peer in peers { permitted[peer.address] = peer }
      planPermissionRefresh(now: now)
    case .channelBind(let channel, let peer):
      peersByChannel[channel.rawValue] = peer
      channelsByPeer[peer] = channel
      permitted[peer.address] = peer
      planPermissionRefresh(now: now)
      if settings.refreshesAutomatically { channelRefresh[channel] = now.advanced(by: .seconds(540)) }
    case .refresh:
      guard let seconds = (try? message.lifetime()) ?? nil else {
        return .malformed("the Refresh response has no LIFETIME")
      }
      let lifetime = Duration(wireSeconds: seconds)
      grant?.lifetime = lifetime
      planAllocationRefresh(lifetime, now: now)
    case .delete: break
    }
    return nil
  }

  private mutating func acceptAllocation(_ message: borrowing MessageView, now: Instant) -> RequestFailure? {
    do {
      let relayed = try relayedAddresses(in: message)
      guard !relayed.isEmpty else { return .malformed("the Allocate response has no XOR-RELAYED-ADDRESS") }
      guard let seconds = try message.lifetime() else { return .malformed("the Allocate response has no LIFETIME") }
      let lifetime = Duration(wireSeconds: seconds)
      let families = Set(relayed.map(\.family))
      let expected: Set<IPAddress.Family> =
        settings.wantsBothFamilies ? [.ipv4, .ipv6] : [settings.addressFamily ?? .ipv4]
      guard families.count == relayed.count, families.isSubset(of: expected) else {
        return .malformed("the relayed address is of a family that was not requested: \(relayed)")
      }
      var addressError: ErrorCode?
      if let value = message.value(of: .addressErrorCode), value.byteCount >= 4 {
        addressError = ErrorCode(rawValue: UInt16(value.byte(at: 2) & 7) * 100 + UInt16(value.byte(at: 3)))
      }
      grant = Grant(
        relayedAddresses: relayed, mappedAddress: try message.xorAddress(.xorMappedAddress), lifetime: lifetime,
        addressError: addressError, reservationToken: try message.reservationToken(), software: message.text(.software))
      state = .allocated
      planAllocationRefresh(lifetime, now: now)
      return nil
    } catch {
      return .malformed("an attribute of the Allocate response has the wrong form")
    }
  }

  /// XOR-RELAYED-ADDRESS may occur twice, once for each family.
  private func relayedAddresses(in message: borrowing MessageView) throws(DecodingError) -> [SocketAddress] {
    var addresses: [SocketAddress] = []
    var offset = 0
    while addresses.count < 2, let range = message.nextRange(of: .xorRelayedAddress, from: offset) {
      addresses.append(
        try xorAddress(message.bytes.extracting(range), transactionID: message.transactionID))
      offset = range.lowerBound + ((range.count + 3) & ~3)
    }
    return addresses
  }

  // MARK: - The end of an operation

  mutating func finish(_ transaction: Transaction, _ failure: RequestFailure?, now: Instant) {
    switch transaction.operation {
    case .allocate: if failure != nil { state = .ended }
    case .delete: end()
    case .createPermission(let peers):
      // A refused refresh is not repeated; the event reports it.
      if failure != nil { for peer in peers { permitted[peer.address] = nil } }
    case .channelBind(let channel, let peer):
      if failure != nil, transaction.isAutomatic {
        peersByChannel[channel.rawValue] = nil
        channelsByPeer[peer] = nil
        channelRefresh[channel] = nil
      }
    case .refresh:
      if case .refused(.allocationMismatch, _, _, _)? = failure { end() }
    }
    events.append(
      Event(
        operation: transaction.operation, failure: failure, isAutomatic: transaction.isAutomatic,
        duration: now.duration(since: transaction.began), roundTrips: transaction.roundTrips,
        transmissions: transaction.transmissions))
  }

  private mutating func end() {
    state = .ended
    stopRefreshing()
    peersByChannel = [:]
    channelsByPeer = [:]
    permitted = [:]
  }
}
