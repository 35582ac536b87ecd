public import JSON
public import Metrics

/// The server as the admin endpoint sees it. `TurnpikeServer` implements it.
///
/// All functions may be called from any thread. Functions that throw may wait some seconds for shards or stores, unless
/// their comment says that they do not wait.
public protocol ServerView: Sendable {
  /// The state for load balancers; does not wait.
  var health: Health { get }
  /// All metrics in a format; does not wait.
  func metrics(_ format: MetricsText.Format) -> [UInt8]
  /// Records the present state for `history`, once in each interval; does not wait.
  func takeSample()
  /// Counts a request that was answered after this time; does not wait.
  func recordRequest(after time: Duration)
  /// The samples of the last hour; does not wait.
  func history() -> JSONValue
  /// Tests the relay path with an allocation of the server's own.
  func probe() throws(AdminFailure)
  /// The state of the server.
  func status() throws(AdminFailure) -> JSONValue
  /// A page of the live sessions.
  func sessions(_ query: SessionQuery) throws(AdminFailure) -> JSONValue
  /// One live session.
  func session(_ id: String) throws(AdminFailure) -> JSONValue
  /// Ends one session.
  func endSession(_ id: String) throws(AdminFailure)
  /// Ends the sessions of a user, or those with revoked credentials; answers with their number.
  func endSessions(_ selection: SessionsToEnd) throws(AdminFailure) -> JSONValue
  /// A page of the users of configuration and stores.
  func users(_ query: UserQuery) throws(AdminFailure) -> JSONValue
  func addUser(_ user: UserToAdd) throws(AdminFailure) -> JSONValue
  /// Stores new keys of a user.
  func changePassword(_ user: UserToAdd) throws(AdminFailure) -> JSONValue
  func removeUser(_ user: UserToRemove) throws(AdminFailure) -> JSONValue
  func secrets(realm: String?) throws(AdminFailure) -> JSONValue
  func addSecret(_ secret: SecretToAdd) throws(AdminFailure) -> JSONValue
  func removeSecret(_ secret: SecretToRemove) throws(AdminFailure) -> JSONValue
  func bans() throws(AdminFailure) -> JSONValue
  func addBan(_ ban: BanToAdd) throws(AdminFailure) -> JSONValue
  func removeBan(_ address: String) throws(AdminFailure)
  /// Begins a capture of a user's messages.
  func startCapture(_ query: CaptureQuery) throws(AdminFailure) -> JSONValue
  /// The capture's messages as pcapng; does not wait.
  func capture(_ id: String) throws(AdminFailure) -> [UInt8]
  func endCapture(_ id: String) throws(AdminFailure) -> JSONValue
  /// Refuses new allocations; the server ends with the last one.
  func drain() throws(AdminFailure)
  /// Reads the configuration again; throws with its problems if it is wrong.
  func reload() throws(AdminFailure)
  /// Starts the program once more and hands everything over to it; answers with what was handed over.
  func upgrade() throws(AdminFailure) -> JSONValue
  /// The effective configuration as YAML, secrets redacted: what `turnpike check` prints.
  func configuration() throws(AdminFailure) -> String
  /// An iceServers document with a time-limited credential.
  func credentials(_ query: CredentialsQuery) throws(AdminFailure) -> JSONValue
  /// The document that the demo page needs for a call: iceServers with a credential of its own, and facts that
  /// explain them.
  func demoAccess(room: String) throws(AdminFailure) -> JSONValue
}

/// The state for load balancers.
public struct Health: Sendable, Equatable {
  /// What does not work; nil while every part of the server works.
  public var problem: String?
  /// Whether the server refuses new allocations.
  public var isDraining: Bool

  public init(problem: String?, isDraining: Bool) {
    self.problem = problem
    self.isDraining = isDraining
  }
}

/// A part of the list of live sessions.
public struct SessionQuery: Sendable, Equatable {
  /// Limit of `limit`.
  public static let longestPage = 500
  /// The user; for a time-limited name the part after the colon is enough. Nil: every user.
  public var user: String?
  /// The client's IP address; nil: every client.
  public var client: String?
  /// `udp`, `tcp`, `tls` or `dtls`; nil: every transport.
  public var transport: String?
  /// The `next` of the previous page.
  public var after: String?
  /// The largest number of sessions on the page.
  public var limit = 100

  public init() {}
}

/// A request for a capture of a user's messages.
public struct CaptureQuery: Sendable, Equatable {
  /// Limit of `duration`.
  public static let longest = Duration.seconds(600)
  /// The user whose messages are captured.
  public var user: String
  /// The length of the capture.
  public var duration = Duration.seconds(60)

  public init(user: String) { self.user = user }
}

/// A request for a time-limited credential.
public struct CredentialsQuery: Sendable, Equatable {
  /// Limit of `lifetime`.
  public static let longest = Duration.seconds(366 * 86_400)
  /// The user of the credential; nil: the name is only the time of expiry.
  public var user: String?
  /// The validity of the credential.
  public var lifetime = Duration.seconds(86_400)
  /// The realm; nil: the default realm.
  public var realm: String?

  public init() {}
}

/// The reason why a request of an operator was not carried out.
public enum AdminFailure: Error, Equatable, Sendable {
  /// 400: the request is wrong.
  case invalid(String)
  /// 404.
  case notFound(String)
  /// 409: the present state does not allow it.
  case conflict(String)
  /// 503: a part of the server does not answer, or does not work.
  case unavailable(String)

  /// The text for the operator.
  public var reason: String {
    switch self {
    case .invalid(let reason), .notFound(let reason), .conflict(let reason), .unavailable(let reason): reason
    }
  }

  var status: UInt32 {
    switch self {
    case .invalid: 400
    case .notFound: 404
    case .conflict: 409
    case .unavailable: 503
    }
  }
}
