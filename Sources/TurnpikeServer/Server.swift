public import Configuration
internal import Credentials
internal import CredentialsSQLite
internal import Crypto
public import Metrics
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import TLS
internal import Text
internal import TURN

/// The whole server, from a configuration to its end. One to a process: it reads the process's signals.
///
/// The main thread opens everything in order, then waits for signals and reports; shards do the work.
public final class Server {
  /// How a run ended.
  public enum Outcome: Equatable, Sendable {
    /// After a signal, in order.
    case stopped
    /// It could not start, or not go on: what was wrong, where, and what to do.
    case failed(String)
    /// The configuration asks for what this host does not have.
    case misconfigured(String)
  }

  var settings: Settings
  let log: Log
  let host: ServerHost
  let signals: SignalReader
  let reports: Mailbox<ShardReport>
  let loop: EventLoop
  /// Every realm's credential store, by the realms' numbers; realms that share a store share a service.
  var credentials: [UInt8: CredentialService] = [:]
  var credentialServices: [CredentialService] = []
  /// The default realm first. Their order and number stay the same until a restart.
  let realmNames: [String]
  var shards: [Mailbox<ShardMessage>] = []
  var threads: [Thread] = []
  var state: ServerState
  /// Nil where no state can be kept.
  let stateDirectory: String?
  /// The generated user, where nobody else is configured.
  var firstUser: FirstUser?
  /// Shared by all contexts, so that a session can be resumed on another shard and after a change of certificate.
  /// New ones with every change of certificate and every day (RFC 7525 section 3.4).
  var ticketKeys = TLSContext.TicketKeys()

  static let signalEvent: UInt8 = 1
  static let reportEvent: UInt8 = 2

  /// What all shards share, and what a reload makes anew.
  struct ServerState {
    var listeners: [ListenerPlan]
    var relayed: RelayedAddresses
    var limiter: StrangerRateLimiter
    var ledger: QuotaLedger
    var sharedKey: [UInt8]
    /// Secrets of the stores, as they last told them, by realm.
    var storeSecrets: [UInt8: [[UInt8]]] = [:]
    /// Realms that a reload has taken away.
    var goneRealms: Set<String> = []
    /// How often io_uring was wanted and could not be had; for metrics.
    var engineFallbacks = 0
    var isDraining = false
    /// Shards without an allocation since the drain began.
    var idleShards = 0
  }

  /// Runs a server until a signal ends it.
  ///
  /// - Parameters:
  ///   - settings: checked already, as `Configuration` gives them.
  ///   - host: what the server asks of the process around it.
  public static func run(_ settings: Settings, host: ServerHost, log: Log) -> Outcome {
    do throws(StartFailure) {
      let server = try Server(settings, host: host, log: log)
      return try server.run()
    } catch {
      return error.outcome
    }
  }

  struct StartFailure: Error {
    var outcome: Outcome

    static func failed(_ text: String) -> StartFailure { StartFailure(outcome: .failed(text)) }
    static func misconfigured(_ text: String) -> StartFailure { StartFailure(outcome: .misconfigured(text)) }
  }

  private init(_ settings: Settings, host: ServerHost, log: Log) throws(StartFailure) {
    self.settings = settings
    self.host = host
    self.log = log
    do throws(Errno) {
      signals = try SignalReader()
      reports = try Mailbox(capacity: 4096)
      loop = try EventLoop()
      try loop.add(signals.rawValue, EventToken(kind: Self.signalEvent))
      try loop.add(reports.rawValue, EventToken(kind: Self.reportEvent))
    } catch {
      throw .failed("the kernel refuses what every server needs: \(error)")
    }
    stateDirectory = StateDirectory.resolve(
      configured: settings.stateDirectory, environment: Environment.variables())
    if stateDirectory == nil {
      log.warning(
        "state-in-memory", ("reason", "no state directory can be written"),
        ("remedy", "set state-directory, or let the server write to \(StateDirectory.standard)"))
    }
    realmNames = [settings.realm] + settings.realms.keys.sorted()
    for name in realmNames where (try? OpaqueString.prepare(Array(name.utf8))) != Array(name.utf8) {
      throw .misconfigured(
        "the realm \(name.debugDescription) is not in the form that RFC 8489 section 14.9 wants (OpaqueString, RFC 8265): "
          + "write it in Unicode's normal form C, with plain spaces")
    }
    guard realmNames.count <= 256 else { throw .misconfigured("`realms` has \(realmNames.count - 1) realms; 255 are the most") }
    let hasIPv6 = Interfaces.hasIPv6
    var listeners = Self.listeners(settings, realms: realmNames, hasIPv6: hasIPv6, log: log)
    let discovery = NATDiscovery(primary: settings.natDiscovery.primary, alternate: settings.natDiscovery.alternate)
    guard discovery?.all.allSatisfy({ !$0.address.isUnspecified && $0.port != 0 }) ?? true else {
      throw .misconfigured("`nat-discovery` needs two addresses and two ports by name: 0.0.0.0, [::] and port 0 are none")
    }
    listeners += ListenerPlan.missing(for: discovery, in: listeners)
    let hostAddresses = Interfaces.addresses()
    let addresses = RelayAddresses.detect(
      configured: settings.relay.addresses, hostAddresses: hostAddresses, hasIPv6: hasIPv6)
    let entries = addresses.map {
      RelayedAddresses.Entry(local: $0, advertised: settings.relay.advertise[$0] ?? $0)
    }
    guard entries.count <= 64 else {
      throw .misconfigured("`relay.addresses` has \(entries.count) addresses; 64 are the most")
    }
    RelayAddresses.warnIfPrivate(entries, listeners: listeners, log: log)
    let limits = settings.limits
    state = ServerState(
      listeners: listeners,
      relayed: RelayedAddresses(entries: entries, ports: settings.relay.ports),
      limiter: StrangerRateLimiter(
        limit: limits.unauthenticatedPerAddress, seed: (SecureRandom.word(), SecureRandom.word())),
      ledger: QuotaLedger(limits: QuotaLedger.Limits.all(settings, realms: realmNames)),
      sharedKey: SecureRandom.bytes(32))
  }

  /// The configured listeners, or the default ones that this host and this version can have.
  private static func listeners(
    _ settings: Settings, realms: [String], hasIPv6: Bool, log: Log
  ) -> [ListenerPlan] {
    if let configured = settings.listeners {
      return configured.map { listener in
        let realm = realms.firstIndex(of: listener.realm ?? settings.realm) ?? 0
        return ListenerPlan(
          transport: listener.transport, address: listener.address, auto: listener.auto,
          realm: UInt8(truncatingIfNeeded: realm))
      }
    }
    if !hasIPv6 { log.info("ipv6-absent", ("effect", "no listeners on [::]")) }
    return Settings.availableDefaultListeners.filter { hasIPv6 || $0.address.family == .ipv4 }.map {
      ListenerPlan(transport: $0.transport, address: $0.address, auto: $0.auto)
    }
  }

  // MARK: - Start

  private func run() throws(StartFailure) -> Outcome {
    for listener in state.listeners {
      do throws(Errno) {
        try PortProbe.check(listener.address, isStream: listener.transport.isStream)
      } catch {
        throw .failed(Self.listenFailure(listener, error))
      }
    }
    let files = FileLimit.raise()
    if files < 65_536 {
      log.warning(
        "file-limit-low", ("files", "\(files)"), ("effect", "every relay is one open file"),
        ("remedy", "raise the hard limit: ulimit -Hn, LimitNOFILE=, ulimits: nofile"))
    }
    try prepareCredentials()
    let contexts = try makeSecureContexts(shardCount)
    try startCredentialServices()
    let engine = try chooseEngine()
    try startShards(contexts, engine)
    // The store may have told of changes while shards were being started.
    configureShards()
    if let line = iceServersLine() { host.printLine(line) }
    log.info(
      "ready", ("listeners", "\(state.listeners.count)"), ("shards", "\(shards.count)"), ("engine", engine == .epoll ? "epoll" : "io_uring"),
      ("relay-addresses", state.relayed.entries.map { "\($0.advertised)" }.joined(separator: ",")),
      ("relay-ports", "\(settings.relay.ports.lowerBound)-\(settings.relay.ports.upperBound)"))
    ServiceManager.notify("READY=1")
    return serve()
  }

  static func listenFailure(_ listener: ListenerPlan, _ error: Errno) -> String {
    let remedy =
      switch error {
      case .addressInUse: "another process has this port: stop it, or choose another in `listeners` or `nat-discovery`"
      case .addressNotAvailable: "this host has no such address: correct it in `listeners` or `nat-discovery`"
      case .permissionDenied: "ports below 1024 need CAP_NET_BIND_SERVICE"
      default: "see `listeners` in the configuration"
      }
    return "cannot listen on \(listener.transport)://\(listener.address): \(error); \(remedy)"
  }

  private var shardCount: Int { settings.workers == 0 ? Thread.usableCoreCount : settings.workers }

  /// Starts one shard after another: the kernel's choice among sockets of one port depends on their order, and every
  /// socket must be there before the first client is.
  private func startShards(_ contexts: [SecureContexts], _ engine: DataPlane.Engine) throws(StartFailure) {
    let count = shardCount
    let gate = makeGate()
    let relaySettings = makeRelaySettings()
    let cookieKey = SecureRandom.bytes(32)
    let exchange = PacketExchange(count: count)
    var mailboxes: [Mailbox<ShardMessage>] = []
    for index in 0..<count {
      do throws(Errno) {
        mailboxes.append(try Mailbox(capacity: 65_536))
      } catch {
        throw .failed("cannot start shard \(index): \(error)")
      }
    }
    for (index, mailbox) in mailboxes.enumerated() {
      do throws(Errno) {
        let plan = ShardPlan(
          index: index, engine: engine,
          identity: Relay.Identity(
            shard: index, shardCount: count, seed: SecureRandom.bytes(32), sharedKey: state.sharedKey),
          listeners: state.listeners, settings: relaySettings, gate: gate, relayed: state.relayed,
          limiter: state.limiter, ledger: state.ledger, credentials: credentials,
          serverNames: ServerNames(settings, realms: realmNames), contexts: contexts.isEmpty ? nil : contexts[index], cookieKey: cookieKey,
          mailbox: mailbox, siblings: mailboxes, exchange: exchange, reports: reports, log: log)
        threads.append(try Thread(name: "shard-\(index)") { Shard.run(plan) })
        shards.append(mailbox)
      } catch {
        throw .failed("cannot start shard \(index): \(error)")
      }
      try waitUntilBound(index)
    }
    for listener in state.listeners {
      log.info("listening", ("transport", "\(listener.transport)"), ("address", "\(listener.address)"))
    }
  }

  private func waitUntilBound(_ index: Int) throws(StartFailure) {
    while true {
      _ = loop.wait(milliseconds: -1)
      for report in reports.takeAll() {
        switch report {
        case .bound(let shard) where shard == index: return
        case .failed(_, let listener, let error):
          throw .failed(listener.map { Self.listenFailure($0, error) } ?? "a shard could not start: \(error)")
        case .storeChanged(let secrets): state.storeSecrets.merge(secrets) { $1 }
        case .bound, .idle, .memoryFreed, .stopped: break
        }
      }
    }
  }
}
