internal import Log
internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN

/// The text of a warning about a limit.
struct LimitText {
  var name: String
  /// The key of the configuration that raises the limit.
  var key = LimitText.fixed
  var effect: String

  /// A fixed limit of the program, without a key.
  static let fixed = "fixed limit"
}

/// The limits at which a shard drops or refuses something, besides the relay's limits.
enum ShardLimit: UInt8, CaseIterable {
  case connections
  case connectionsPerAddress
  case strangerConnections
  case descriptors
  case strangersMemory
  case associations
  case handshakes
  case streamHandshakes
  case handshakeQueue
  case handshakeSteps
  case handshakeDatagrams
  case handshakeMessages
  case endpoints
  case streamMedia
  case streamMessages
  case strangerMessage
  case encryptedBytes
  case peerConnections
  case forwarded
  case movedConnections
  case lookUps
  case lookUpsOfAddress
  case lookUpRate
  case knownKeys
  /// The kernel's send buffer of a socket.
  case sendBuffer
  /// The kernel's receive buffer of a listener.
  case receiveBuffer

  /// The effect on a request that a rate does not allow now.
  static let laterOverStreams = "requests wait over TCP and TLS; over UDP and DTLS they are dropped: clients retransmit"

  // This is longer than 40 lines, because it is a table with every limit.
  var text: LimitText {
    switch self {
    case .connections:
      LimitText(name: "connections-per-shard", effect: "further TCP and TLS connections are closed")
    case .connectionsPerAddress:
      LimitText(name: "connections-per-address", effect: "further connections of this address are closed")
    case .strangerConnections:
      LimitText(
        name: "unauthenticated-connections",
        effect: "the oldest connection of the heaviest address or network is closed; raise the open files limit")
    case .descriptors:
      LimitText(
        name: "reserved-descriptors", effect: "further TCP and TLS connections are closed; raise the open files limit")
    case .strangersMemory:
      LimitText(
        name: "strangers-memory", key: "limits.strangers-memory",
        effect: "the oldest client of the heaviest address or network is closed")
    case .streamHandshakes:
      LimitText(
        name: "tls-handshakes", effect: "the oldest handshake of the heaviest address or network is closed")
    case .handshakeQueue:
      LimitText(
        name: "waiting-handshakes", effect: "the oldest handshake of the heaviest address or network is closed")
    case .handshakeSteps: LimitText(name: "tls-handshake-steps", effect: "the connection has been closed")
    case .handshakeMessages: LimitText(name: "messages-without-data", effect: "the connection has been closed")
    case .associations: LimitText(name: "dtls-associations-per-shard", effect: "further DTLS clients are not answered")
    case .handshakes:
      LimitText(
        name: "dtls-handshakes", effect: "the oldest handshake of the heaviest address or network is closed")
    case .handshakeDatagrams: LimitText(name: "dtls-handshake-datagrams", effect: "the handshake has been ended")
    case .endpoints:
      LimitText(name: "server-addresses", effect: "packets to further addresses of this host are dropped")
    case .streamMedia: LimitText(name: "stream-queue", effect: "media for clients that read too slowly is dropped")
    case .streamMessages:
      LimitText(name: "stream-queue-messages", effect: "the connection of a client that does not read has been closed")
    case .strangerMessage:
      LimitText(name: "message-before-allocation", effect: "the connection has been closed")
    case .encryptedBytes: LimitText(name: "tls-buffers", effect: "the connection has been closed")
    case .peerConnections: LimitText(name: "peer-connections-per-shard", effect: "Connect gets 508, peers are closed")
    case .forwarded: LimitText(name: "datagrams-for-moved-clients", effect: "datagrams are dropped")
    case .movedConnections:
      LimitText(name: "moved-connections", effect: "connections are closed; clients connect again")
    case .lookUps: LimitText(name: "store-look-ups", effect: "requests get 500")
    case .lookUpsOfAddress:
      LimitText(name: "store-look-ups-per-address", effect: Self.laterOverStreams)
    case .lookUpRate:
      LimitText(name: "store-look-ups-per-second", effect: Self.laterOverStreams)
    case .sendBuffer:
      LimitText(name: "send-buffer", key: "net.core.wmem_max (sysctl)", effect: "datagrams are dropped")
    case .receiveBuffer:
      LimitText(
        name: "receive-buffer", key: "net.core.rmem_max (sysctl)",
        effect: "the kernel drops datagrams of clients: the server is overloaded")
    case .knownKeys: LimitText(name: "remembered-users", effect: "the store is asked for all users again")
    }
  }
}

extension RelayLimit {
  /// - Parameter realm: the client's realm, which has its own limits; nil for the default realm.
  func text(realm: String?) -> LimitText {
    let limits = QuotaLedger.limitKey(realm: realm)
    return switch self {
    case .strangers:
      LimitText(
        name: "unauthenticated-per-address", key: "limits.unauthenticated-per-address",
        effect: "requests of this address without valid credentials are not answered; over TCP and TLS they wait")
    case .strangersInAll:
      LimitText(
        name: "unauthenticated", key: "limits.unauthenticated",
        effect: "requests without valid credentials are not answered")
    case .failures:
      LimitText(
        name: "failed-logins-per-address",
        effect:
          "logins of this client or address are not tried, except for live allocations; over TCP and TLS they wait")
    case .networkFailures:
      LimitText(
        name: "failed-logins-per-network",
        effect:
          "logins of its addresses that have failed twice in a minute are not tried, except for live allocations; over "
          + "TCP and TLS they wait")
    case .waitingRequests: LimitText(name: "waiting-requests", effect: ShardLimit.laterOverStreams)
    case .newPeers:
      LimitText(name: "new-peers-per-user", key: limits + "new-peers-per-user", effect: "permissions get 508")
    case .connects:
      LimitText(name: "connects-per-user", key: limits + "connects-per-user", effect: "Connect gets 508")
    case .permissions:
      LimitText(
        name: "permissions-per-allocation", key: limits + "permissions-per-allocation", effect: "further ones get 508")
    case .channels:
      LimitText(
        name: "channels-per-allocation", key: limits + "channels-per-allocation", effect: "further ones get 508")
    case .peersInRequest: LimitText(name: "peers-per-request", effect: "the request got 508")
    case .peerConnections:
      LimitText(name: "peer-connections-per-allocation", effect: "Connect gets 508, peers are closed")
    case .reservations: LimitText(name: "reservations-per-user", effect: "EVEN-PORT that reserves a port gets 508")
    case .handOvers: LimitText(name: "moved-clients", effect: "further moving clients get 437")
    case .bandwidth:
      LimitText(name: "bandwidth-per-allocation", key: limits + "bandwidth-per-allocation", effect: "media is dropped")
    case .userBandwidth:
      LimitText(name: "bandwidth-per-user", key: limits + "bandwidth-per-user", effect: "media is dropped")
    case .realmBandwidth:
      LimitText(
        name: "bandwidth-of-realm", key: limits + "bandwidth",
        effect: "media is dropped, of the heaviest allocations first")
    case .serverBandwidth:
      LimitText(
        name: "bandwidth", key: "limits.bandwidth", effect: "media is dropped, of the heaviest allocations first")
    case .unfragmented: LimitText(name: "unfragmented-datagrams", effect: "datagrams with DONT-FRAGMENT are dropped")
    case .icmp: LimitText(name: "icmp-indications", effect: "further ICMP messages are not passed on")
    case .siblings: LimitText(name: "datagrams-between-shards", effect: "media is dropped")
    }
  }
}

extension Shard {
  /// Warns about datagrams dropped at a full send buffer since the last sweep. The engine counts them without their
  /// clients.
  mutating func reportOverflows() {
    let count = plane.sends.overflows
    let new = count - min(engineReports.overflows, count)
    if new > 0 { countLimit(.sendBuffer, .ipv4Any, times: Int(clamping: new)) }
    engineReports.overflows = count
  }

  /// Warns about datagrams that arrived faster than they were read. The kernel does not report their clients.
  mutating func reportDrops() {
    var counts: [UInt32] = []
    for index in plan.listeners.indices {
      guard let socket = datagramListeners.socket(of: ListenerNumber(rawValue: index)) else { continue }
      counts.append(SocketBuffers.drops(of: plane.listenerDescriptor(socket)))
    }
    let before = engineReports.drops + repeatElement(0, count: max(0, counts.count - engineReports.drops.count))
    let new = zip(counts, before).reduce(0) { $0 + Int($1.0 &- $1.1) }
    metrics.receiveDrops &+= UInt64(new)
    if new > 0 { countLimit(.receiveBuffer, .ipv4Any, times: new) }
    engineReports.drops = counts
  }

  func warn(_ limit: LimitText, _ notice: LimitNotice) { plan.log.warn(limit, notice) }

  /// Counts that a limit was reached, and warns at most once in ten seconds. It is cheap at any rate of calls.
  mutating func countLimit(_ limit: ShardLimit, _ client: IPAddress, times: Int = 1) {
    if let notice = limitNotices.count(limit, client, times: times, now: now.instant) { warn(limit.text, notice) }
  }
}
