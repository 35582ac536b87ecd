internal import NetworkTypes
internal import TURN

/// A cache of the store's answers: users for a minute, unknown names for 5 s, so that repeated attempts cause no
/// further look-ups. Emptied when the store changes. At most 10,000 of each kind; then that kind is emptied, so that
/// made-up names do not evict users.
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
  private static let lifetime = Duration.seconds(60)
  private static let negativeLifetime = Duration.seconds(5)

  private var keys: [User: (keys: TURN.CredentialKeys, until: Instant)] = [:]
  private var unknown: [User: Instant] = [:]

  func find(_ user: UserReference, realm: RealmID, now: Instant) -> Found {
    let user = User(realm: realm, reference: user)
    if let entry = keys[user], entry.until > now { return .known(entry.keys) }
    if let until = unknown[user], until > now { return .noUser }
    return .notAsked
  }

  /// Adds an answer; false if users were removed to make room.
  ///
  /// - Parameter lifetime: nil: as long as answers of stores.
  mutating func remember(
    _ user: UserReference, realm: RealmID, _ found: TURN.CredentialKeys?, lifetime: Duration? = nil, now: Instant
  ) -> Bool {
    let user = User(realm: realm, reference: user)
    guard let found else {
      if unknown.count >= Self.limit { unknown.removeAll(keepingCapacity: true) }
      unknown[user] = now.advanced(by: Self.negativeLifetime)
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
  private static let cost = 1_000_000_000 / perSecond
  private var full: UInt64 = 0

  /// Takes one look-up; false at the limit.
  mutating func take(now: Instant) -> Bool {
    let next = max(full, now.nanoseconds) &+ Self.cost
    guard next <= now.nanoseconds &+ 1_000_000_000 else { return false }
    full = next
    return true
  }
}
