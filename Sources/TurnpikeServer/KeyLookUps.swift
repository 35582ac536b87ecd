internal import NetworkTypes
internal import TURN
internal import Tables

/// A request that waits for the keys of its user.
struct KeyLookUp {
  var ticket: Handle<PendingRequest>
  var realm: RealmID
  var user: UserReference
}

/// The look-ups of one shard: the store's cached answers, the rates at which it may be asked, and the look-ups that
/// wait for the next second.
struct KeyLookUps {
  enum Step {
    /// The answer is known; nil: the store has no such user.
    case found(TURN.CredentialKeys?)
    /// The store must be asked.
    case ask
    /// A rate does not allow the question now.
    case limited(ShardLimit)
  }

  private var known = KnownKeys()
  private var rate = LookUpRate()
  private var postponed = LaterLookUps()

  /// The next step of a look-up. `ask` counts the look-up against the rates.
  ///
  /// - Parameter limiter: the rates of client addresses.
  mutating func step(
    _ lookUp: KeyLookUp, from client: IPAddress, _ limiter: StrangerRateLimiter, now: Instant
  ) -> Step {
    switch known.find(lookUp.user, realm: lookUp.realm, now: now) {
    case .known(let keys): return .found(keys)
    case .noUser: return .found(nil)
    case .notAsked: break
    }
    guard limiter.takeLookUp(client, now: now) else { return .limited(.lookUpsOfAddress) }
    return rate.take(now: now) ? .ask : .limited(.lookUpRate)
  }

  /// Caches an answer; false if users were removed to make room.
  ///
  /// - Parameter lifetime: nil for answers of stores, which stay for `KnownKeys.lifetime`.
  mutating func remember(
    _ user: UserReference, realm: RealmID, _ found: TURN.CredentialKeys?, lifetime: Duration?, now: Instant
  ) -> Bool {
    known.remember(user, realm: realm, found, lifetime: lifetime, now: now)
  }

  /// Empties the cache after a change of the store or the configuration.
  mutating func forgetAll() { known.forgetAll() }

  /// Keeps a look-up for the next second; false without room.
  mutating func postpone(_ lookUp: KeyLookUp) -> Bool {
    guard !postponed.isFull else { return false }
    postponed.append(lookUp)
    return true
  }

  /// Takes the look-ups that wait, the oldest first.
  mutating func takePostponed() -> [KeyLookUp] { postponed.takeAll() }
}

/// Look-ups that wait for the next second.
struct LaterLookUps {
  private var entries: [KeyLookUp] = []

  /// Limit of entries, with those of clients that have disconnected meanwhile; a further request is dropped.
  static let limit = 4096

  var isFull: Bool { entries.count >= Self.limit }

  mutating func append(_ entry: KeyLookUp) { entries.append(entry) }

  /// Takes all entries, the oldest first.
  mutating func takeAll() -> [KeyLookUp] {
    guard !entries.isEmpty else { return [] }
    defer { entries = [] }
    return entries
  }
}
