public import NetworkTypes
internal import Synchronization

/// Limits unauthenticated answers a second, for each source address and in all, and the failed logins of an address and
/// of a network. All shards share it without a lock, in a fixed size of memory: 65,536 addresses, 16,384 with failed
/// logins.
///
/// Binding answers and challenges (401, 438, errors) have separate budgets, so that forged Bindings with a client's
/// address do not block its Allocate. After the challenges of an address are used up, possibly by forged requests, each
/// of 32 groups of its ports has a small budget.
public final class StrangerRateLimiter: Sendable {
  private let bindings: RateTable
  private let challenges: RateTable
  private let portGroups: RateTable
  private let failures: RateTable
  private let portFailures: RateTable
  private let networkFailures: RateTable
  private let suspects: RateTable
  private let lookUps: RateTable
  private let limit = Atomic<UInt64>(0)
  private let totalLimit = Atomic<UInt64>(0)
  /// The time in nanoseconds at which the budget for all is full again.
  private let totalFull = Atomic<UInt64>(0)

  /// Limit of failed logins a second of one address and port; further requests are dropped before any key is tried.
  static let failuresPerPort: UInt64 = 10
  /// Limit of failed logins a second of one address. It is higher than one client's, because clients behind one NAT
  /// share the address, and one of them with an old password must not block the others.
  static let failuresPerAddress: UInt64 = 50
  /// Limit of failed logins a second of one network (IPv4 /24, IPv6 /48), as one customer of a hosting network may have:
  /// that of four addresses. Beyond it no key is tried for an address with `failuresOfSuspect`; the others of the
  /// network, whose passwords are right, do not notice it.
  static let failuresPerNetwork: UInt64 = 200
  /// The failed logins a minute that make an address suspect. With each of 256 addresses an attacker has so many at once,
  /// and each costs up to 0.1 ms.
  static let failuresOfSuspect: UInt64 = 2
  /// The divisor for a port group's part of the address's budget: 4 of 100 answers a second.
  private static let groupShare: UInt64 = 25

  /// - Parameters:
  ///   - limit: answers of each kind a second to one address; 0 is no limit.
  ///   - total: answers a second in all; 0 is no limit.
  public init(limit: UInt32, total: UInt32 = 0, seed: (UInt64, UInt64)) {
    func table(_ number: UInt64, setCount: Int) -> RateTable {
      RateTable(setCount: setCount, seed: (seed.0 ^ number &* 0x9E37_79B9_7F4A_7C15, seed.1))
    }
    bindings = table(0, setCount: 16_384)
    challenges = table(1, setCount: 16_384)
    portGroups = table(2, setCount: 16_384)
    failures = table(3, setCount: 4096)
    lookUps = table(4, setCount: 4096)
    portFailures = table(5, setCount: 4096)
    networkFailures = table(6, setCount: 4096)
    suspects = table(7, setCount: 4096)
    setLimits(perAddress: limit, total: total)
  }

  /// Replaces the limits, in answers a second; 0 is no limit.
  public func setLimits(perAddress limit: UInt32, total: UInt32) {
    self.limit.store(UInt64(limit), ordering: .relaxed)
    totalLimit.store(UInt64(total), ordering: .relaxed)
  }

  private var addressLimit: RateTable.Limit { RateTable.Limit(perSecond: limit.load(ordering: .relaxed)) }

  /// Takes a Binding answer from the budget; false if none is left.
  func take(_ address: IPAddress, now: Instant) -> Bool { takeBinding(address, now: now) == nil }

  /// Takes a Binding answer from the budgets of the address and of all; returns the drop cause if one is used up.
  func takeBinding(_ address: IPAddress, now: Instant) -> DropCause? {
    guard bindings.take(RateTable.Subject(address), addressLimit, now: now) else { return .rateLimited }
    return takeFromAll(now, keeping: Self.challengeReserve) ? nil : .rateLimitedInAll
  }

  /// Takes a challenge from the budgets of the client and of all; returns the drop cause if one is used up.
  func takeChallenge(_ client: SocketAddress, now: Instant) -> DropCause? {
    guard takeChallenge(of: client, now: now) else { return .rateLimited }
    return takeFromAll(now) ? nil : .rateLimitedInAll
  }

  /// Takes a ClientHello of DTLS from the challenges of the client and from the budget of all; returns the drop cause
  /// if one is used up. A ClientHello begins a call, so forged Bindings with the client's address must not stop it. A
  /// flood of hellos without a cookie must stop neither hellos with a cookie, whose clients receive answers, nor
  /// challenges.
  public func takeHello(_ client: SocketAddress, hasCookie: Bool, now: Instant) -> DropCause? {
    guard takeChallenge(of: client, now: now) else { return .rateLimited }
    return takeFromAll(now, keeping: hasCookie ? 0 : Self.challengeReserve) ? nil : .rateLimitedInAll
  }

  private func takeChallenge(of client: SocketAddress, now: Instant) -> Bool {
    challenges.take(RateTable.Subject(client.address), addressLimit, now: now) || takeFromPortGroup(client, now: now)
  }

  private func takeFromPortGroup(_ client: SocketAddress, now: Instant) -> Bool {
    let share = limit.load(ordering: .relaxed) / Self.groupShare
    guard share > 0 else { return false }
    let group = (UInt32(client.port) &* 0x9E37_79B1) >> 27
    return portGroups.take(
      RateTable.Subject(client.address, group: UInt64(group)), RateTable.Limit(perSecond: share), now: now)
  }

  /// The last quarter of the budget for all is for challenges: a flood of Bindings from many addresses must not stop
  /// new calls.
  private static let challengeReserve: UInt64 = 250_000_000

  /// - Parameter reserve: nanoseconds of the budget that must be left.
  private func takeFromAll(_ now: Instant, keeping reserve: UInt64 = 0) -> Bool {
    let limit = totalLimit.load(ordering: .relaxed)
    guard limit > 0 else { return true }
    let full = totalFull.load(ordering: .relaxed)
    let next = max(full, now.nanoseconds) &+ max(1_000_000_000 / limit, 1)
    guard next <= now.nanoseconds &+ 1_000_000_000 &- reserve else { return false }
    // After a lost race with another shard the answer is allowed and not counted.
    _ = totalFull.compareExchange(expected: full, desired: next, ordering: .relaxed)
    return true
  }

  /// Limit of store look-ups a second for one address; several clients behind one NAT may start together.
  public static let lookUpsPerSecond: UInt32 = 20
  private static let lookUpLimit = RateTable.Limit(perSecond: UInt64(lookUpsPerSecond))

  /// Counts a store look-up against the address's limit; false if the limit is reached.
  public func takeLookUp(_ address: IPAddress, now: Instant) -> Bool {
    lookUps.take(RateTable.Subject(address), Self.lookUpLimit, now: now)
  }

  /// Counts a failed login of a client with a proven address.
  func countFailure(_ client: SocketAddress, now: Instant) {
    _ = failures.take(RateTable.Subject(client.address), Self.addressFailures, now: now)
    _ = portFailures.take(RateTable.Subject(client), Self.portFailures, now: now)
    _ = networkFailures.take(RateTable.Subject(networkOf: client.address), Self.networkFailures, now: now)
    _ = suspects.take(RateTable.Subject(client.address), Self.suspectFailures, now: now)
  }

  /// The drop cause for a client if it, its address or its network has reached the limit of failed logins now.
  func failureLimit(of client: SocketAddress, now: Instant) -> DropCause? {
    guard failures.hasBudget(RateTable.Subject(client.address), Self.addressFailures, now: now),
      portFailures.hasBudget(RateTable.Subject(client), Self.portFailures, now: now)
    else { return .tooManyFailures }
    guard !networkFailures.hasBudget(RateTable.Subject(networkOf: client.address), Self.networkFailures, now: now)
    else { return nil }
    let isSuspect = !suspects.hasBudget(RateTable.Subject(client.address), Self.suspectFailures, now: now)
    return isSuspect ? .tooManyFailuresInNetwork : nil
  }

  private static let addressFailures = RateTable.Limit(perSecond: failuresPerAddress)
  private static let portFailures = RateTable.Limit(perSecond: failuresPerPort)
  private static let networkFailures = RateTable.Limit(perSecond: failuresPerNetwork)
  private static let suspectFailures = RateTable.Limit(perMinute: failuresOfSuspect)
}

extension RateTable.Subject {
  /// The subject of one port of an address.
  fileprivate init(_ client: SocketAddress) { self.init(client.address, group: UInt64(client.port)) }
}
