internal import NetworkTypes

/// Limits one user's new peers in permissions and its Connect requests, over all shards and allocations. Otherwise one
/// credential could use the server as a port scanner at line rate. It is used for control requests, never for packets.
/// A fixed size of memory has room for 16,384 users.
public final class UserRateLimiter: Sendable {
  private let newPeers: RateTable
  private let connects: RateTable

  public init(seed: (UInt64, UInt64)) {
    newPeers = RateTable(setCount: 4096, seed: seed)
    connects = RateTable(setCount: 4096, seed: (seed.1, seed.0))
  }

  /// Counts `count` new peers against a user's limit; false, without counting them, if the limit does not allow them.
  ///
  /// - Parameter limit: peers a minute; 0 is no limit.
  func takeNewPeers(_ count: Int, of user: RateTable.Subject, limit: UInt32, now: Instant) -> Bool {
    newPeers.take(user, count: count, RateTable.Limit(perMinute: UInt64(limit)), now: now)
  }

  /// Counts a Connect request against a user's limit; false, without counting it, if the limit does not allow it.
  ///
  /// - Parameter limit: Connect requests a second; 0 is no limit.
  func takeConnect(of user: RateTable.Subject, limit: UInt32, now: Instant) -> Bool {
    connects.take(user, RateTable.Limit(perSecond: UInt64(limit)), now: now)
  }
}

extension RateTable.Subject {
  /// The user that a request counts for: the part of a time-limited name after the first colon. Anonymous clients count
  /// by address.
  init(_ holder: QuotaHolder) {
    guard !holder.user.isEmpty else {
      self.init(holder.address)
      return
    }
    // Keyed with a random seed that no client knows.
    var hasher = Hasher()
    hasher.combine(holder.realm)
    hasher.combine(holder.user)
    let hash = UInt64(bitPattern: Int64(hasher.finalize()))
    self.init(hash, ~hash)
  }
}
