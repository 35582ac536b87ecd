internal import NetworkTypes
internal import STUN
internal import Tables

/// A request that waits for a credential store, the ledger or a socket.
public struct PendingRequest {
  var bytes: [UInt8]
  var client: ClientPath
  var transactionID: TransactionID
  /// The time at which the request came from the client.
  var arrivedAt: Instant
  /// The allocation of an authenticated, valid Allocate; nil before.
  var allocation: PendingAllocation?
  var timer = TimerWheel.TimerHandle()
  /// The bytes charged to strangers' memory.
  fileprivate var charge = 0

  /// The longest request that waits, in bytes; a longer one is dropped. Requests of clients have about 200 bytes.
  static let longest = 4096
  /// The bytes of memory of a waiting request besides its message: its record, its timer and its entries in two
  /// dictionaries.
  static let overhead = 512

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
  /// The time after which the server gives up a request: its client has given up after 39.5 s (RFC 8489 section 6.2.1).
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
  private let memory: StrangersMemory

  init(memory: StrangersMemory) { self.memory = memory }

  var count: Int { records.count }

  /// The endpoints of the waiting requests' clients.
  var endpoints: Set<EndpointID> { Set(transactions.keys.map(\.endpoint)) }

  /// Every request, with its client, in the order of the slots.
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

  /// Adds a request; nil if its client is not proven and strangers' memory is used up.
  mutating func insert(
    _ request: PendingRequest, isProven: Bool, now: Instant, timers: inout TimerWheel
  ) -> Handle<PendingRequest>? {
    let charge = isProven ? 0 : PendingRequest.overhead + request.bytes.count
    guard charge == 0 || memory.charge(charge) else { return nil }
    let slot = records.insert(request)
    records[slot].charge = charge
    let ticket = records.handle(of: slot)
    transactions[TransactionKey(request.client, request.transactionID)] = ticket
    sources[request.client.address.address.accountable, default: 0] += 1
    records[slot].timer = timers.schedule(.pendingRequest(ticket), at: now.advanced(by: Self.timeout))
    return ticket
  }

  /// The client of a waiting request; nil if the request no longer waits.
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
    if request.charge > 0 { memory.release(request.charge) }
    transactions[TransactionKey(request.client, request.transactionID)] = nil
    let source = request.client.address.address.accountable
    if let waiting = sources[source], waiting > 1 { sources[source] = waiting - 1 } else { sources[source] = nil }
    return request
  }
}
