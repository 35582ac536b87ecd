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

  /// The oldest connection of the client for which most bytes are charged; nil if nothing is. Takes a look at every
  /// connection, for the rare case that the memory is used up.
  var heaviest: OpaquePointer? {
    let charges = unsafe connections.values.reduce(into: [[UInt8]: Int]()) { sums, connection in
      if !connection.isEnding { sums[connection.client, default: 0] += connection.charge }
    }
    guard let client = charges.max(by: { $0.value < $1.value }), client.value > 0 else { return nil }
    return unsafe connections
      .filter { unsafe $0.value.client == client.key && $0.value.charge > 0 && !$0.value.isEnding }
      .min { unsafe $0.value.number < $1.value.number }?.key
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
