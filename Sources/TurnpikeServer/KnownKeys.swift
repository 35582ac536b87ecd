internal import NetworkTypes
internal import TURN

/// A cache of the store's answers for 5 s, so that the first requests of a call, and repeated attempts, cause one
/// look-up. It is emptied when the store changes. Users and unknown names have a limit of 10,000 each; at the limit
/// only that kind is emptied, so that invented names do not evict users.
///
/// Users and unknown names are kept equally long: otherwise a stranger who has used up the look-ups of an address could
/// tell by the answer whether a name exists. Only the answers of a hook have lifetimes of their own (docs/security.md).
struct KnownKeys {
  enum Found {
    case known(TURN.CredentialKeys)
    /// The store has no such user.
    case noUser
    case notAsked
  }

  private struct User: Hashable {
    var realm: RealmID
    var reference: UserReference
  }

  static let limit = 10_000
  static let lifetime = Duration.seconds(5)

  private var keys: [User: (keys: TURN.CredentialKeys, until: Instant)] = [:]
  /// The ends of unknown users' entries, by a hash whose seed strangers do not know, because their names may have 508
  /// bytes. With 10,000 names one look-up in 10^15 finds another name's hash; that user is then unknown for up to 5 s.
  private var unknown: [Int: Instant] = [:]

  func find(_ user: UserReference, realm: RealmID, now: Instant) -> Found {
    let user = User(realm: realm, reference: user)
    if let entry = keys[user], entry.until > now { return .known(entry.keys) }
    if let until = unknown[user.hashValue], until > now { return .noUser }
    return .notAsked
  }

  /// Adds an answer; false if users were removed to make room.
  ///
  /// - Parameter lifetime: nil for answers of stores, which stay for `KnownKeys.lifetime`.
  mutating func remember(
    _ user: UserReference, realm: RealmID, _ found: TURN.CredentialKeys?, lifetime: Duration? = nil, now: Instant
  ) -> Bool {
    let user = User(realm: realm, reference: user)
    guard let found else {
      if unknown.count >= Self.limit { unknown.removeAll(keepingCapacity: true) }
      unknown[user.hashValue] = now.advanced(by: Self.lifetime)
      return true
    }
    let isFull = keys.count >= Self.limit
    if isFull { keys.removeAll() }
    keys[user] = (found, now.advanced(by: lifetime ?? Self.lifetime))
    return !isFull
  }

  mutating func forgetAll() {
    keys.removeAll()
    unknown.removeAll()
  }
}

/// Limits the look-ups of one shard for all client addresses together: a burst of one second, then a steady rate.
struct LookUpRate {
  static let perSecond: UInt64 = 2000
  /// The nanoseconds between two look-ups at the steady rate.
  private static let cost = 1_000_000_000 / perSecond
  /// The time at which the whole burst is available again, in nanoseconds of `Instant`.
  private var full: UInt64 = 0

  /// Counts a look-up; false if the limit is reached.
  mutating func take(now: Instant) -> Bool {
    let next = max(full, now.nanoseconds) &+ Self.cost
    guard next <= now.nanoseconds &+ 1_000_000_000 else { return false }
    full = next
    return true
  }
}
