public import Configuration
internal import Credentials
internal import CredentialsSQLite
internal import Crypto
public import Log
internal import NetIO
internal import NetworkTypes
internal import StringPreparation
internal import STUN
internal import System
internal import TLS
internal import TURN

/// The whole server, from the configuration to its end. A process has only one, because it reads the process's signals.
///
/// The main thread opens everything in order, then waits for signals and reports; shards do the work.
public final class Server {
  /// The result of a run.
  public enum Outcome: Equatable, Sendable {
    /// Stopped by a signal.
    case stopped
    /// A newer process has taken over and has ended with this status.
    case succeeded(Int32)
    /// The server could not start or continue; with the error, its origin and a remedy.
    case failed(String)
    /// The configuration needs something that this host does not have.
    case misconfigured(String)
  }

  var settings: Settings
  /// Whether `drain-timeout` is configured.
  var isDrainTimeoutGiven: Bool
  let log: Log
  let host: ServerHost
  let signals: SignalReader
  /// Signals that came during the start; the running server handles them.
  var earlySignals: [Signal] = []
  let reader: BackgroundReader
  let reports: Mailbox<ShardReport>
  let loop: EventLoop
  /// Every realm's credential store, by the realms' numbers; realms that share a store share a service.
  var credentials: [RealmID: CredentialService] = [:]
  var credentialServices: [CredentialService] = []
  /// The realms' names, the default realm first. Order and number stay the same until a restart.
  let realmNames: [String]
  var shards: [Mailbox<ShardMessage>] = []
  var shardThreads: [Thread] = []
  var boards: [ShardBoard] = []
  /// Requests of operators to the main thread.
  let orders: Mailbox<AdminView.Order>
  /// Nil without an admin endpoint.
  var admin: AdminEndpoint?
  /// Nil if systemd does not watch this process.
  var watchdog: Watchdog?
  var watchdogThread: Thread?
  /// The certificate in use, and a context with it for the admin endpoint.
  var certificate: (summary: CertificateSummary, context: TLSContext)?
  var storeThreads: [Thread] = []
  /// Nil without `auth.hook`.
  var hook: HookService?
  var hookThreads: [Thread] = []
  /// Nil without `events.webhook`.
  var events: EventSender?
  var eventThread: Thread?
  var told = ToldAddresses()
  var handshakes: [HandshakeService] = []
  var handshakeThreads: [Thread] = []
  var state: ServerState
  var chores = Chores()
  let stateDirectory: StateDirectory
  /// The client of probes for `/readyz` and the watchdog; nil without both.
  let probeUser: ProbeUser?
  /// The generated user, if its line is printed.
  var firstUser: FirstUser?
  /// A secret of the first process for the time-limited credentials of the demo page; nil without the page.
  var demoSecret: [UInt8]?
  /// A secret of the first process for the keys of the page's rooms.
  var roomSecret = SecureRandom.bytes(32)
  var ticketKeys = SharedTicketKeys()

  /// Nil while no newer process is started.
  var upgrade: Upgrade?
  /// The state that this process has taken over from another one, and its connection to it.
  var succession: Succession?
  /// The connection to the supervisor: an older process that waits for this one's end and passes signals on.
  var supervisor: HandoverConnection?
  /// The connection to the newer process after an upgrade, if this process waits for its end.
  var successor: HandoverConnection?
  /// The connection to the newer process, if this one does not wait for its end. The end of this process closes it,
  /// which tells the newer one.
  var formerConnection: HandoverConnection?

  static let signalEvent: UInt8 = 1
  static let reportEvent: UInt8 = 2
  static let readerEvent: UInt8 = 3
  static let addressEvent: UInt8 = 4
  static let orderEvent: UInt8 = 5
  static let upgradeEvent: UInt8 = 6
  static let publicAddressEvent: UInt8 = 7

  /// The state that all shards share and that a reload changes.
  struct ServerState {
    var listeners: [ListenerPlan]
    var relayed: RelayedAddresses
    var limiter: StrangerRateLimiter
    let users = UserRateLimiter(seed: (SecureRandom.word(), SecureRandom.word()))
    let bandwidth = BandwidthPools(seed: (SecureRandom.word(), SecureRandom.word()))
    var ledger: QuotaLedger
    var connections = ConnectionLedger(files: 0)
    var strangersMemory: StrangersMemory
    /// Limits of allocations that the configuration does not set.
    let automatic: AllocationLimits
    var sharedKey: [UInt8]
    var cookieKey = SecureRandom.bytes(32)
    /// The seeds of the shards.
    var seeds: [[UInt8]] = []
    /// The last reported content of the stores, by realm.
    var storeContents: [RealmID: StoreContent] = [:]
    /// Realms that a reload has removed: they have no users.
    var removedRealms: Set<String> = []
    /// The host's addresses that the shards have.
    var ownAddresses: Set<IPAddress> = []
    var isDraining = false
    /// The number of shards whose allocations have all ended since the drain began.
    var idleShards = 0
    /// Whether a newer process has the listeners, and this one only drains.
    var isSucceeded = false
    var upgrades = UpgradeCounts()
  }

  /// Runs a server until a signal ends it.
  ///
  /// - Parameters:
  ///   - configuration: a configuration that satisfies `ConfigurationRules`.
  ///   - host: functions of the program around the server.
  public static func run(_ configuration: Configuration, host: ServerHost, log: Log) -> Outcome {
    do throws(StartFailure) {
      let server = try Server(configuration, host: host, log: log)
      let outcome = try server.run()
      try? server.supervisor?.send(.ended, [UInt8(truncatingIfNeeded: outcome.status)])
      return outcome
    } catch {
      host.predecessor?.refuse(error.outcome.problem)
      return error.outcome
    }
  }

  /// The connection to the older process, which has started this one to take over.
  var predecessor: HandoverConnection? { host.predecessor }

  struct StartFailure: Error {
    var outcome: Outcome

    static func failed(_ text: String) -> StartFailure { StartFailure(outcome: .failed(text)) }
    static func misconfigured(_ text: String) -> StartFailure { StartFailure(outcome: .misconfigured(text)) }
  }

  private init(_ configuration: Configuration, host: ServerHost, log: Log) throws(StartFailure) {
    let settings = configuration.settings
    self.settings = settings
    isDrainTimeoutGiven = configuration.gives("drain-timeout")
    self.host = host
    self.log = log
    probeUser = settings.admin.listen == .none && ServiceManager.watchdogInterval == nil ? nil : ProbeUser()
    do throws(Errno) {
      signals = try SignalReader()
      reports = try Mailbox(capacity: 4096)
      reader = try BackgroundReader(reload: host.reload)
      orders = try Mailbox(capacity: 64)
      loop = try EventLoop()
      try loop.add(signals.rawValue, EventToken(kind: Self.signalEvent))
      try loop.add(reports.rawValue, EventToken(kind: Self.reportEvent))
      try loop.add(reader.reports.rawValue, EventToken(kind: Self.readerEvent))
      try loop.add(orders.rawValue, EventToken(kind: Self.orderEvent))
    } catch {
      throw .failed("the kernel refuses a descriptor that the server needs: \(error)")
    }
    stateDirectory = try Self.resolveStateDirectory(settings, log)
    realmNames = [settings.realm] + settings.realms.keys.sorted()
    state = ServerState(settings, realms: realmNames, log: log)
    demoSecret = settings.admin.demo ? SecureRandom.bytes(32) : nil
    state.ledger.setLimits(makeQuotaLimits())
  }
}

extension Server.Outcome {
  /// The exit status of the program.
  public var status: Int32 {
    switch self {
    case .stopped: 0
    case .succeeded(let status): status
    case .failed: 1
    case .misconfigured: 78
    }
  }

  /// The text of a failure.
  var problem: String {
    switch self {
    case .failed(let problem), .misconfigured(let problem): problem
    case .stopped, .succeeded: ""
    }
  }
}
