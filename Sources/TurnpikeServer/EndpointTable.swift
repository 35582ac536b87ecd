internal import NetworkTypes
internal import TURN

/// Numbers for the server's transport addresses at which datagrams and connections have arrived.
///
/// On a wildcard listener each packet may arrive at another address; an answer is sent from its request's address.
struct EndpointTable {
  struct Endpoint {
    var listener: ListenerNumber
    /// The source address of answers; nil on a socket that is bound to one address.
    var source: IPAddress?
  }

  private(set) var endpoints: [Endpoint] = []
  /// Numbers that are no longer in use.
  private var free: [EndpointID] = []
  private var byAddress: [Key: EndpointID] = [:]
  private var last: (key: Key, id: EndpointID)?

  private struct Key: Hashable {
    var listener: ListenerNumber
    var address: IPAddress?
  }

  /// The number of an endpoint, a new one at its first use; nil while all 65,536 are in use.
  mutating func id(listener: ListenerNumber, source: IPAddress?) -> EndpointID? {
    let key = Key(listener: listener, address: source)
    if let last, last.key == key { return last.id }
    if let known = byAddress[key] {
      last = (key, known)
      return known
    }
    let id: EndpointID
    if let freed = free.popLast() {
      id = freed
      endpoints[Int(freed.rawValue)] = Endpoint(listener: listener, source: source)
    } else {
      guard let number = UInt16(exactly: endpoints.count) else { return nil }
      id = EndpointID(rawValue: number)
      endpoints.append(Endpoint(listener: listener, source: source))
    }
    byAddress[key] = id
    last = (key, id)
    return id
  }

  /// Whether the numbers are nearly used up. This happens only if clients send to many addresses of this host: on
  /// loopback, or with a route that makes a whole prefix local.
  var isNearlyFull: Bool { free.isEmpty && endpoints.count > 60_000 }

  /// Frees every number that is not in use.
  mutating func reclaim(keeping used: Set<EndpointID>) {
    last = nil
    byAddress = byAddress.filter { used.contains($0.value) }
    free = (0..<endpoints.count).map { EndpointID(rawValue: UInt16(truncatingIfNeeded: $0)) }.filter {
      !used.contains($0)
    }
  }

  /// Takes over the numbers of another process; a nil element is an endpoint whose listener is gone.
  mutating func restore(_ list: [Endpoint?]) {
    self = EndpointTable()
    for (index, endpoint) in list.prefix(Int(UInt16.max) + 1).enumerated() {
      let id = EndpointID(rawValue: UInt16(truncatingIfNeeded: index))
      endpoints.append(endpoint ?? Endpoint(listener: ListenerNumber(rawValue: 0), source: nil))
      guard let endpoint else {
        free.append(id)
        continue
      }
      // The older process may have several free numbers of one endpoint; the last one is used.
      byAddress[Key(listener: endpoint.listener, address: endpoint.source)] = id
    }
  }

  @inline(__always)
  func endpoint(_ id: EndpointID) -> Endpoint { endpoints[Int(id.rawValue)] }
}
