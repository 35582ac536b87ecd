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
  private var byAddress: [Key: EndpointID] = [:]
  private var last: (key: Key, id: EndpointID)?

  private struct Key: Hashable {
    var listener: Int
    var address: IPAddress?
  }

  /// The number of an endpoint, a new one at its first use; nil once all 65,536 are given out.
  mutating func id(listener: Int, source: IPAddress?) -> EndpointID? {
    let key = Key(listener: listener, address: source)
    if let last, last.key == key { return last.id }
    if let known = byAddress[key] {
      last = (key, known)
      return known
    }
    guard let number = UInt16(exactly: endpoints.count) else { return nil }
    let id = EndpointID(rawValue: number)
    endpoints.append(Endpoint(listener: listener, source: source))
    byAddress[key] = id
    last = (key, id)
    return id
  }

  @inline(__always)
  func endpoint(_ id: EndpointID) -> Endpoint { endpoints[Int(id.rawValue)] }
}
