internal import NetworkTypes
internal import STUN
internal import Tables

/// A request that waits for a credential store, the ledger or a socket.
public struct PendingRequest {
  var bytes: [UInt8]
  var client: ClientPath
  var transactionID: TransactionID
  /// When the request came from the client.
  var arrivedAt: Instant
  /// The allocation of an authenticated, valid Allocate; nil before.
  var allocation: PendingAllocation?
  var timer = TimerWheel.TimerHandle()

  init(bytes: [UInt8], client: ClientPath, transactionID: TransactionID, arrivedAt: Instant) {
    self.bytes = bytes
    self.client = client
    self.transactionID = transactionID
    self.arrivedAt = arrivedAt
  }
}

/// The waiting requests, limited in all and for each source address. A retransmission joins the request that already
/// waits.
struct PendingRequests: ~Copyable {
  /// The time after which the client has given up (39.5 s by RFC 8489 section 6.2.1), and so does the server.
  static let timeout = Duration.seconds(40)

  private struct TransactionKey: Hashable {
    var client: SocketAddress
    var endpoint: EndpointID
    var transactionID: TransactionID

    init(_ client: ClientPath, _ transactionID: TransactionID) {
      self.client = client.address
      endpoint = client.endpoint
      self.transactionID = transactionID
    }
  }

  private var records = SlotMap<PendingRequest>()
  private var transactions: [TransactionKey: Handle<PendingRequest>] = [:]
  private var sources: [IPAddress: Int] = [:]

  var count: Int { records.count }

  /// The endpoints of the waiting requests' clients.
  var endpoints: Set<EndpointID> { Set(transactions.keys.map(\.endpoint)) }

  /// Every request, with its client; the oldest slot first.
  var all: [(client: ClientPath, bytes: [UInt8])] {
    var result: [(ClientPath, [UInt8])] = []
    var walk = SlotWalk<PendingRequest>()
    while let slot = records.next(&walk) { result.append((records[slot].client, records[slot].bytes)) }
    return result
  }

  func contains(_ client: ClientPath, _ transactionID: TransactionID) -> Bool {
    transactions[TransactionKey(client, transactionID)] != nil
  }

  func isFull(for client: ClientPath, limit: Int, perSource: Int) -> Bool {
    records.count >= limit || sources[client.address.address.accountable, default: 0] >= perSource
  }

  mutating func insert(_ request: PendingRequest, now: Instant, timers: inout TimerWheel) -> Handle<PendingRequest> {
    let slot = records.insert(request)
    let ticket = records.handle(of: slot)
    transactions[TransactionKey(request.client, request.transactionID)] = ticket
    sources[request.client.address.address.accountable, default: 0] += 1
    records[slot].timer = timers.schedule(.pendingRequest(ticket), at: now.advanced(by: Self.timeout))
    return ticket
  }

  /// The client of a waiting request; nil if it no longer waits.
  func client(of ticket: Handle<PendingRequest>) -> ClientPath? { records.slot(of: ticket).map { records[$0].client } }

  /// The pending allocation of a waiting request; nil if it has none, or no longer waits.
  subscript(allocation ticket: Handle<PendingRequest>) -> PendingAllocation? {
    get { records.slot(of: ticket).flatMap { records[$0].allocation } }
    set { if let slot = records.slot(of: ticket) { records[slot].allocation = newValue } }
  }

  /// The tickets of a client's requests.
  func tickets(of client: ClientPath) -> [Handle<PendingRequest>] {
    // Most closing connections have no waiting request.
    guard sources[client.address.address.accountable] != nil else { return [] }
    return transactions.values.filter { self.client(of: $0) == client }
  }

  /// Removes a request; nil if it no longer waits.
  mutating func remove(_ ticket: Handle<PendingRequest>, timers: inout TimerWheel) -> PendingRequest? {
    guard let slot = records.slot(of: ticket) else { return nil }
    let request = records.remove(slot)
    timers.cancel(request.timer)
    transactions[TransactionKey(request.client, request.transactionID)] = nil
    let source = request.client.address.address.accountable
    if let waiting = sources[source], waiting > 1 { sources[source] = waiting - 1 } else { sources[source] = nil }
    return request
  }
}
