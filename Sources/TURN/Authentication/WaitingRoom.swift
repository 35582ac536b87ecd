internal import NetworkTypes
internal import STUN

/// Requests that wait for somebody outside the machine: a credential store, the ledger, a socket. Bounded in all and
/// for each source address; a retransmission joins the one that waits already.
struct WaitingRoom {
  struct Request {
    var bytes: [UInt8]
    var client: ClientPath
    var transactionID: TransactionID
    /// What it has become, once its sender was known and it was good.
    var allocation: PendingAllocation?
    var timer: UInt32
  }

  private struct TransactionKey: Hashable {
    var client: SocketAddress
    var endpoint: EndpointID
    var transactionID: TransactionID
  }

  private var requests: [UInt32: Request] = [:]
  private var transactions: [TransactionKey: UInt32] = [:]
  private var sources: [IPAddress: Int] = [:]
  private var nextTicket: UInt32 = 0

  var count: Int { requests.count }
  var endpoints: Set<EndpointID> { Set(requests.values.map(\.client.endpoint)) }

  func contains(_ client: ClientPath, _ transactionID: TransactionID) -> Bool {
    transactions[key(client, transactionID)] != nil
  }

  func isFull(for client: ClientPath, limit: Int, perSource: Int) -> Bool {
    requests.count >= limit || sources[client.address.address.accountable, default: 0] >= perSource
  }

  mutating func add(_ request: Request) -> RecordID {
    // Skips tickets still in use after four billion requests.
    repeat { nextTicket &+= 1 } while requests[nextTicket] != nil
    requests[nextTicket] = request
    transactions[key(request.client, request.transactionID)] = nextTicket
    sources[request.client.address.address.accountable, default: 0] += 1
    return RecordID(index: nextTicket, generation: 1)
  }

  subscript(ticket: RecordID) -> Request? {
    get { requests[ticket.index] }
    set { if newValue != nil, requests[ticket.index] != nil { requests[ticket.index] = newValue } }
  }

  func tickets(of client: ClientPath) -> [RecordID] {
    // Most connections close without one.
    guard sources[client.address.address.accountable] != nil else { return [] }
    return requests.filter { $0.value.client == client }.map { RecordID(index: $0.key, generation: 1) }
  }

  @discardableResult
  mutating func remove(_ ticket: RecordID) -> Request? {
    guard let request = requests.removeValue(forKey: ticket.index) else { return nil }
    transactions[key(request.client, request.transactionID)] = nil
    let source = request.client.address.address.accountable
    if let waiting = sources[source], waiting > 1 { sources[source] = waiting - 1 } else { sources[source] = nil }
    return request
  }

  private func key(_ client: ClientPath, _ transactionID: TransactionID) -> TransactionKey {
    TransactionKey(client: client.address, endpoint: client.endpoint, transactionID: transactionID)
  }
}
