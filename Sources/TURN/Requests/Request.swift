internal import NetworkTypes
internal import STUN
internal import Tables

/// A STUN message from a client, before its sender is authenticated.
struct ReceivedMessage: ~Escapable {
  let message: MessageView
  let client: ClientPath
  let now: Now
  /// Earlier than `now` if the request has waited.
  let arrivedAt: Instant

  @_lifetime(copy message)
  init(_ message: MessageView, from client: ClientPath, now: Now, arrivedAt: Instant? = nil) {
    self.message = message
    self.client = client
    self.now = now
    self.arrivedAt = arrivedAt ?? now.instant
  }
}

/// An authenticated request: the argument of every handler.
struct Request: ~Escapable {
  let message: MessageView
  let client: ClientPath
  let principal: Principal
  let now: Now
  let arrivedAt: Instant

  @_lifetime(copy received)
  init(_ received: borrowing ReceivedMessage, by principal: Principal) {
    message = received.message
    client = received.client
    now = received.now
    arrivedAt = received.arrivedAt
    self.principal = principal
  }

  /// The message without its sender's identity.
  var received: ReceivedMessage {
    @_lifetime(copy self)
    get { ReceivedMessage(message, from: client, now: now, arrivedAt: arrivedAt) }
  }

  /// Throws 400 for an attribute of a wrong length or form.
  func checkForm() throws(Refusal) {
    if let attribute = message.malformedAttribute { throw .malformed(attribute) }
  }

  /// The peer of the request, with its port.
  func peer() throws(Refusal) -> PeerAddress {
    guard let peer = try? message.xorAddress(.xorPeerAddress) else { throw .badRequest(.noPeer) }
    guard peer.port != 0 else { throw .badRequest(.portZero) }
    return PeerAddress(peer)
  }

  /// The different peer addresses of a CreatePermission, 1 to `limit`. Their ports are ignored (RFC 8656 section 10.1).
  func peerAddresses(limit: Int) throws(Refusal) -> [IPAddress] {
    var peers: [IPAddress] = []
    var offset = 0
    while let range = message.nextRange(of: .xorPeerAddress, from: offset) {
      offset = (range.upperBound + 3) & ~3
      guard let peer = try? xorAddress(message.bytes.extracting(range), transactionID: message.transactionID) else {
        throw .malformed(.xorPeerAddress)
      }
      if peers.contains(peer.address) { continue }
      guard peers.count < limit else { throw .limit(.peersInRequest) }
      peers.append(peer.address)
    }
    guard !peers.isEmpty else { throw .badRequest(.noPeer) }
    return peers
  }
}

extension Relay {
  /// The live allocation on a five-tuple. Ends an expired one whose timer has not fired yet.
  mutating func liveAllocation(on client: ClientPath, now: Now) -> Slot<Allocation>? {
    guard let slot = allocations.find(client) else { return nil }
    guard allocations[slot].expiresAt > now.instant else {
      end(slot, .expired, now: now)
      return nil
    }
    return slot
  }

  /// The sender's own allocation on the request's five-tuple: 437 without one, 441 to other users. A request of the
  /// owner completes a pending move. 400 if an attribute is malformed.
  mutating func ownAllocation(of request: borrowing Request) throws(Refusal) -> Slot<Allocation> {
    guard let slot = liveAllocation(on: request.client, now: request.now) else { throw .code(.allocationMismatch) }
    guard isOwner(request.principal, of: slot) else { throw .code(.wrongCredentials) }
    if allocations[slot].hasPendingMove { completeMoveIfPending(of: slot, by: request.client) }
    try request.checkForm()
    return slot
  }

  /// Whether a user may use an allocation; other users get 441 (RFC 8656 section 5).
  func isOwner(_ principal: Principal, of slot: Slot<Allocation>) -> Bool {
    guard allocations[slot].details.realm == principal.realm else { return false }
    // A client authorized for this five-tuple may continue with other tokens, also under other keys (RFC 7635 section
    // 9).
    if allocations[slot].details.credentialEnd != nil, principal.credentialTimeLeft != nil { return true }
    return allocations[slot].details.username == principal.username
  }

  /// Whether an allocation that was made with a token has this token's key. This is checked for requests from another
  /// five-tuple, where the five-tuple proves nothing.
  func hasKey(_ principal: Principal, of slot: Slot<Allocation>) -> Bool {
    guard allocations[slot].details.credentialEnd != nil else { return true }
    guard let key = allocations[slot].details.keys?.md5.first, let claimed = principal.key else { return false }
    return key == claimed
  }

  // MARK: - Answers

  /// A success response without method-specific attributes.
  mutating func success(_ request: borrowing Request) -> Disposition {
    beginSuccess(request.message.type.method, request.message.transactionID)
    return finish(request)
  }

  /// Ends a response whose attributes are already written.
  mutating func finish(_ request: borrowing Request) -> Disposition {
    return finish(by: request.principal, fingerprint: request.message.has(.fingerprint))
  }
}
