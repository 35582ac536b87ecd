internal import NetworkTypes

/// The user whose messages a capture shows, and how much of names it shows.
public struct CaptureFilter: Sendable {
  /// How much of USERNAME a captured message shows.
  public enum Names: UInt8, Sendable, CaseIterable {
    case whole = 0
    /// The first two bytes, and the expiry of a time-limited name.
    case beginning = 1
    case none = 2
  }

  /// The user's name; for a time-limited name the part after the colon is enough.
  public var user: [UInt8]
  public var names: Names

  public init(user: [UInt8], names: Names) {
    self.user = user
    self.names = names
  }

  func matches(_ name: [UInt8]) -> Bool {
    if name == user { return true }
    return name.firstIndex(of: UInt8(ascii: ":")).map { name[($0 + 1)...].elementsEqual(user) } ?? false
  }
}

/// A message of a capture, without secrets.
public struct CapturedMessage: Sendable, Equatable {
  public var client: ClientPath
  public var isFromClient: Bool
  /// The redacted message.
  public var bytes: [UInt8]

  public init(client: ClientPath, isFromClient: Bool, bytes: [UInt8]) {
    self.client = client
    self.isFromClient = isFromClient
    self.bytes = bytes
  }
}

/// The state of a capture in one shard's relay.
struct CaptureState {
  /// Limit of remembered clients; the oldest is forgotten first.
  static let clientLimit = 64

  let filter: CaptureFilter
  /// Clients that have named the user, for messages that name none.
  private var clients: [ClientPath] = []

  init(_ filter: CaptureFilter) { self.filter = filter }

  func knows(_ client: ClientPath) -> Bool { clients.contains(client) }

  mutating func remember(_ client: ClientPath) {
    guard !knows(client) else { return }
    if clients.count == Self.clientLimit { clients.removeFirst() }
    clients.append(client)
  }
}
