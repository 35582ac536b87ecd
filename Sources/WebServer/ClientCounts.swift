internal import NetworkTypes

/// The open connections of each client, as libwebsockets reports their beginning and end, and the memory that is charged
/// for them.
@safe
struct ClientCounts {
  /// One open connection.
  struct Connection {
    /// The client's address: IPv4, or the IPv6 /64.
    let client: [UInt8]
    /// Connections have ascending numbers.
    let number: UInt64
    /// The bytes that are charged for it.
    var charge: Int
    /// Whether its client has shown the token, so that nothing is charged.
    var isKnown = false
    /// Whether it is being closed.
    var isEnding = false
  }

  private var counts: [[UInt8]: Int] = [:]
  private var connections: [OpaquePointer: Connection]
  /// The client that was admitted last, and its charge; its connection begins next, unless there is not enough memory
  /// for it.
  private var next: (client: [UInt8], charge: Int)?
  private var lastNumber: UInt64 = 0

  init() { unsafe connections = [:] }

  /// Whether a client may have another connection.
  ///
  /// - Parameter client: nil on a Unix socket, which has no limit.
  func hasRoom(for client: [UInt8]?, below limit: Int) -> Bool { client.map { counts[$0, default: 0] < limit } ?? true }

  /// Admits a client; the charge of the one before is returned if its connection did not begin.
  mutating func admit(_ client: [UInt8]?, charge: Int) -> Int {
    defer { next = client.map { ($0, charge) } }
    return next?.charge ?? 0
  }

  /// The admitted client's connection begins.
  mutating func begin(_ connection: OpaquePointer) {
    guard let (client, charge) = next else { return }
    next = nil
    lastNumber += 1
    unsafe connections[connection] = Connection(client: client, number: lastNumber, charge: charge)
    counts[client, default: 0] += 1
  }

  /// Removes a connection; returns the bytes that were charged for it.
  mutating func end(_ connection: OpaquePointer) -> Int {
    guard let ended = unsafe connections.removeValue(forKey: connection), let count = counts[ended.client] else {
      return 0
    }
    counts[ended.client] = count > 1 ? count - 1 : nil
    return ended.charge
  }

  subscript(connection: OpaquePointer) -> Connection? {
    get { unsafe connections[connection] }
    set { unsafe connections[connection] = newValue }
  }

  /// The bytes that are charged for all connections, and for the client that was admitted last.
  var totalCharge: Int { unsafe connections.values.reduce(next?.charge ?? 0) { $0 + $1.charge } }

  /// The oldest connection of the heaviest client in the heaviest network; nil if nothing is charged. Takes a look at
  /// every connection, for the rare case that the memory is used up.
  ///
  /// Connections that are being closed weigh too: without them an innocent client would become the heaviest one.
  var heaviest: OpaquePointer? {
    var clients: [[UInt8]: Int] = [:]
    var networks: [ArraySlice<UInt8>: Int] = [:]
    let all = unsafe Array(connections.values)
    for connection in all {
      clients[connection.client, default: 0] += connection.charge
      networks[Self.network(of: connection.client), default: 0] += connection.charge
    }
    func weight(_ client: [UInt8]) -> (Int, Int) { (networks[Self.network(of: client)] ?? 0, clients[client] ?? 0) }
    let charged = clients.filter { $0.value > 0 }.keys
    guard let client = charged.max(by: { weight($0) < weight($1) }) else { return nil }
    let own = unsafe connections.filter { unsafe $0.value.client == client && $0.value.charge > 0 }
    let open = unsafe own.filter { unsafe !$0.value.isEnding }
    return unsafe (open.isEmpty ? own : open).min { unsafe $0.value.number < $1.value.number }?.key
  }

  /// The network of a client's key: the IPv4 /24, whose form in IPv6 has 15 bytes, or the IPv6 /48.
  private static func network(of client: [UInt8]) -> ArraySlice<UInt8> {
    let isIPv4 = client.starts(with: [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF])
    return client.prefix(isIPv4 ? 15 : 6)
  }
}

extension IPAddress {
  /// The address of a client's key: 16 bytes, with an IPv4 address in its IPv6 form.
  init(clientKey key: [UInt8]) {
    let words = (0..<2).map { half in key[(half * 8)..<(half * 8 + 8)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) } }
    if words[0] == 0, words[1] >> 32 == 0xFFFF {
      self.init(ipv4: UInt32(truncatingIfNeeded: words[1]))
    } else {
      self.init(ipv6High: words[0], low: words[1])
    }
  }
}
