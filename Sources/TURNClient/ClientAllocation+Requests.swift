internal import Crypto
public import NetworkTypes
public import STUN

// The commands.
extension ClientAllocation {
  /// Requests the allocation. False if it was requested before.
  @discardableResult
  public mutating func allocate(now: Instant) -> Bool {
    guard state == .idle else { return false }
    state = .allocating
    return start(.allocate, now: now)
  }

  /// Permits peers (the server ignores their ports). False without an allocation, without peers, with too many peers,
  /// or if too many requests are pending.
  @discardableResult
  public mutating func createPermission(_ peers: [SocketAddress], now: Instant) -> Bool {
    guard state == .allocated, (1...Self.permissionLimit).contains(peers.count) else { return false }
    return start(.createPermission(peers), now: now)
  }

  /// Binds the next free channel to a peer, or its present channel again. Nil without an allocation, without a free
  /// channel, or if too many requests are pending.
  @discardableResult
  public mutating func bindChannel(to peer: SocketAddress, now: Instant) -> ChannelNumber? {
    guard state == .allocated, let channel = channelsByPeer[peer] ?? ChannelNumber(rawValue: nextChannel),
      start(.channelBind(channel, peer), now: now)
    else { return nil }
    if channel.rawValue == nextChannel { nextChannel += 1 }
    return channel
  }

  /// Refreshes the allocation with the lifetime of Allocate. False without an allocation, or if too many requests are
  /// pending; likewise `delete`.
  @discardableResult
  public mutating func refresh(now: Instant) -> Bool {
    guard state == .allocated else { return false }
    return start(.refresh, now: now)
  }

  /// Deletes the allocation: a Refresh with a lifetime of 0.
  @discardableResult
  public mutating func delete(now: Instant) -> Bool {
    guard state == .allocated else { return false }
    stopRefreshing()
    return start(.delete, now: now)
  }

  /// Deletes an allocation that cannot be used: sends one Refresh and does not wait for the answer.
  mutating func release() {
    _ = write(.delete)
    outputs.append(writer.bytes.copied())
  }

  mutating func start(_ operation: Operation, isAutomatic: Bool = false, now: Instant) -> Bool {
    guard transactions.count < Self.transactionLimit else { return false }
    let id = write(operation)
    transactions[id] = Transaction(
      operation: operation, request: writer.bytes.copied(),
      retransmission: Retransmission(isStream: settings.isStream, settings: settings.retransmission, now: now),
      isAutomatic: isAutomatic, began: now, isSigned: authentication.isReady, nonce: authentication.nonce)
    outputs.append(writer.bytes.copied())
    return true
  }

  /// Repeats a request with the realm and nonce of its answer: a new transaction of the same
  /// operation.
  mutating func restart(_ earlier: Transaction, now: Instant) {
    let id = write(earlier.operation)
    var transaction = earlier
    transaction.request = writer.bytes.copied()
    transaction.earlierTransmissions = earlier.transmissions
    transaction.retransmission = Retransmission(
      isStream: settings.isStream, settings: settings.retransmission, now: now)
    transaction.roundTrips += 1
    transaction.isSigned = authentication.isReady
    transaction.nonce = authentication.nonce
    transaction.discarded = nil
    transactions[id] = transaction
    outputs.append(transaction.request)
  }

  /// Writes the request of an operation, signed if a key is known; returns its transaction ID.
  private mutating func write(_ operation: Operation) -> TransactionID {
    let id = TransactionID(from: &generator)
    writer.begin(MessageType(operation.method, .request), transactionID: id)
    switch operation {
    case .allocate:
      writer.append(.requestedTransport, UInt32(settings.relayTransport.rawValue) << 24)
      if let lifetime = settings.lifetime { writer.append(.lifetime, lifetime.wholeSeconds) }
      if let evenPort = settings.evenPort { writer.append(.evenPort, [evenPort ? 0x80 : 0]) }
      appendFamilies()
    case .createPermission(let peers):
      for peer in peers { writer.append(.xorPeerAddress, xor: peer) }
    case .channelBind(let channel, let peer):
      writer.append(.channelNumber, UInt32(channel.rawValue) << 16)
      writer.append(.xorPeerAddress, xor: peer)
    case .refresh:
      if let lifetime = settings.lifetime { writer.append(.lifetime, lifetime.wholeSeconds) }
    case .delete:
      writer.append(.lifetime, UInt32(0))
    }
    if let software = settings.software { writer.append(.software, text: software) }
    if let credential = settings.credential, authentication.isReady {
      authentication.sign(&writer, credential: credential, with: &authenticator)
    }
    writer.appendFingerprint()
    return id
  }

  private mutating func appendFamilies() {
    if settings.wantsBothFamilies {
      writer.append(.additionalAddressFamily, UInt32(IPAddress.Family.ipv6.rawValue) << 24)
    } else if let family = settings.addressFamily {
      writer.append(.requestedAddressFamily, UInt32(family.rawValue) << 24)
    }
  }

  mutating func stopRefreshing() {
    allocationRefresh = .distantFuture
    permissionRefresh = .distantFuture
    channelRefresh = [:]
  }
}

extension ClientAllocation.Operation {
  var method: STUN.Method {
    switch self {
    case .allocate: .allocate
    case .createPermission: .createPermission
    case .channelBind: .channelBind
    case .refresh, .delete: .refresh
    }
  }
}
