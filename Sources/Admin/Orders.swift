/// The sessions that an operator ends together.
public struct SessionsToEnd: Sendable, Equatable {
  /// The property that selects the sessions.
  public enum Kind: Sendable, Equatable {
    /// The sessions of a user, by the whole name.
    case user(String)
    /// The sessions of time-limited names that no present secret has signed.
    case revoked
  }

  /// Which sessions end.
  public var kind: Kind
  /// Nil: the default realm.
  public var realm: String?

  public init(kind: Kind, realm: String?) {
    self.kind = kind
    self.realm = realm
  }
}

/// A part of the list of users.
public struct UserQuery: Sendable, Equatable {
  /// Limit of `limit`.
  public static let longestPage = 500
  /// Nil: every realm.
  public var realm: String?
  /// The `next` of the previous page.
  public var after: String?
  /// The largest number of users on the page.
  public var limit = 100

  public init() {}
}

/// A user to be stored.
public struct UserToAdd: Sendable, Equatable {
  public var name: String
  /// Nil: the default realm.
  public var realm: String?
  /// Nil: the server makes one.
  public var password: String?
}

/// A user to be removed from a store.
public struct UserToRemove: Sendable, Equatable {
  public var name: String
  /// Nil: the default realm.
  public var realm: String?
  /// Whether the user's sessions are ended.
  public var closes: Bool
}

/// A shared secret to be stored.
public struct SecretToAdd: Sendable, Equatable {
  /// Nil: the default realm.
  public var realm: String?
  /// Nil: the server makes one.
  public var secret: String?
}

/// A shared secret to be removed from a store.
public struct SecretToRemove: Sendable, Equatable {
  /// The secret's number in the store.
  public var id: UInt64
  /// Nil: the default realm.
  public var realm: String?
  /// Whether the sessions of names that no present secret has signed are ended.
  public var closes: Bool
}

/// A ban of client addresses.
public struct BanToAdd: Sendable, Equatable {
  /// Limit of `duration`.
  public static let longest = Duration.seconds(366 * 86_400)
  /// An IP address or a prefix.
  public var address: String
  /// A text for the list of bans; may be empty.
  public var reason: String
  /// Nil: the ban lasts until it is removed.
  public var duration: Duration?
  /// Whether the sessions of these clients are ended.
  public var closes: Bool
}
