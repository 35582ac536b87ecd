public import NetworkTypes
internal import STUN
internal import Tables

/// The limits at which the relay drops or refuses something.
public enum RelayLimit: UInt8, CaseIterable, Sendable {
  /// `StrangerRateLimiter`: answers a second to one source address.
  case strangers
  /// `StrangerRateLimiter`: answers a second to all source addresses.
  case strangersInAll
  /// `StrangerRateLimiter`: failed logins a second from one source address.
  case failures
  /// Requests that wait for a store, the ledger or a socket: in all and from one source address.
  case waitingRequests
  /// `UserRateLimiter`: new peers in a user's permissions a minute, and Connect requests a second.
  case newPeers
  case connects
  case permissions
  case channels
  /// Peer addresses in one CreatePermission.
  case peersInRequest
  case peerConnections
  case reservations
  /// Five-tuples that are forwarded to another shard.
  case handOvers
  /// Bandwidth of an allocation, a user, a realm, the server.
  case bandwidth
  case userBandwidth
  case realmBandwidth
  case serverBandwidth
  /// Datagrams a second of one allocation with the DF bit set.
  case unfragmented
  /// ICMP messages a second about one allocation's datagrams.
  case icmp
  /// The queue of packets from one shard to another.
  case siblings
  /// `StrangerRateLimiter`: failed logins a second of one network.
  case networkFailures
}

/// The notice that a limit was reached, at most one in ten seconds for each limit.
public struct LimitNotice: Sendable, Equatable {
  /// A client that reached the limit.
  public var client: IPAddress
  /// The client's realm.
  public var realm: RealmID
  /// How often the limit was reached since the previous notice.
  public var count: UInt64
}

/// For up to 32 limits: the time of the last notice, and how often the limit was reached since.
public struct LimitNotices<Limit: RawRepresentable<UInt8>> {
  /// The time from one notice to the next.
  public static var interval: Duration { .seconds(10) }
  private var counts = InlineArray<32, UInt64>(repeating: 0)
  /// How often each limit was reached since the start, by the limit's raw value.
  public private(set) var totals = InlineArray<32, UInt64>(repeating: 0)
  private var quietUntil = InlineArray<32, Instant>(repeating: Instant(nanoseconds: 0))

  public init() {}

  mutating func code(with coder: inout RecordCoder) throws(RecordError) {
    for index in counts.indices {
      try coder.code(&counts[index])
      try coder.code(&totals[index])
      try coder.code(&quietUntil[index])
    }
  }

  /// Counts that a limit was reached, and returns a notice at most once in each interval.
  ///
  /// - Parameter times: how often the limit was reached since the last call.
  public mutating func count(
    _ limit: Limit, _ client: IPAddress, realm: RealmID = .default, times: Int = 1, now: Instant
  ) -> LimitNotice? {
    let index = Int(limit.rawValue & 31)
    counts[index] &+= UInt64(truncatingIfNeeded: times)
    totals[index] &+= UInt64(truncatingIfNeeded: times)
    guard now >= quietUntil[index] else { return nil }
    quietUntil[index] = now.advanced(by: Self.interval)
    defer { counts[index] = 0 }
    return LimitNotice(client: client, realm: realm, count: counts[index])
  }
}

extension DropCause {
  /// The limit that caused a drop; nil for other causes.
  @inline(__always)
  var limit: RelayLimit? {
    switch self {
    case .rateLimited: .strangers
    case .rateLimitedInAll: .strangersInAll
    case .tooManyFailures: .failures
    case .tooManyFailuresInNetwork: .networkFailures
    case .tooManyWaiting: .waitingRequests
    case .overBandwidth: .bandwidth
    case .overUserBandwidth: .userBandwidth
    case .overRealmBandwidth: .realmBandwidth
    case .overServerBandwidth: .serverBandwidth
    case .overUnfragmented: .unfragmented
    case .shardBusy: .siblings
    default: nil
    }
  }
}

extension Relay {
  /// Counts that a limit was reached; makes an event at most once in ten seconds for each limit.
  mutating func recordLimit(_ limit: RelayLimit, _ client: ClientPath, now: Now) {
    guard let notice = limitNotices.count(limit, client.address.address, realm: client.realm, now: now.instant) else {
      return
    }
    commands.append(.event(.limitReached(limit, notice)))
  }
}
