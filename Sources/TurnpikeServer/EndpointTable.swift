internal import NetworkTypes
internal import TURN

/// The server's own transport addresses that datagrams and connections have come to, each under a number.
///
/// On a wildcard listener the address differs from packet to packet; an answer leaves from the one that was asked.
struct EndpointTable {
  struct Endpoint {
    var listener: Int
    /// The address to answer from; nil on a socket that is bound to one.
    var source: IPAddress?
  }

  private(set) var endpoints: [Endpoint] = []
  /// Numbers that nobody uses any more.
  private var free: [EndpointID] = []
  private var byAddress: [Key: EndpointID] = [:]
  private var last: (key: Key, id: EndpointID)?

  private struct Key: Hashable {
    var listener: Int
    var address: IPAddress?
  }

  /// The number of an endpoint, a new one at its first use; nil while all 65,536 are given out.
  mutating func id(listener: Int, source: IPAddress?) -> EndpointID? {
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

  /// Whether numbers are about to run out: only who has many addresses of this host to send to (on loopback, or behind
  /// a route that makes a whole prefix local) can bring that about.
  var isNearlyFull: Bool { free.isEmpty && endpoints.count > 60_000 }

  /// Takes back every number but those in use.
  mutating func reclaim(keeping used: Set<EndpointID>) {
    last = nil
    byAddress = byAddress.filter { used.contains($0.value) }
    free = (0..<endpoints.count).map { EndpointID(rawValue: UInt16(truncatingIfNeeded: $0)) }.filter { !used.contains($0) }
  }

  @inline(__always)
  func endpoint(_ id: EndpointID) -> Endpoint { endpoints[Int(id.rawValue)] }
}
