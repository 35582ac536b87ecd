internal import Configuration
internal import Crypto
internal import Log
internal import NetIO
internal import NetworkTypes
internal import System
internal import TLS
internal import TURN

/// The start, in order: shared state, the files and limits of this host, then one shard after another.
extension Server {
  /// A limit of open files that suffices for every relay port and as many connections; and the limit below which the
  /// start warns.
  private static let plentyOfFiles = 65_536
  private static let fewFiles = 8192

  static func resolveStateDirectory(_ settings: Settings, _ log: Log) throws(StartFailure) -> StateDirectory {
    let directory = StateDirectory.resolve(
      configured: settings.stateDirectory, environment: Environment.variables())
    if directory.path == nil {
      guard settings.stateDirectory.isEmpty else {
        throw .misconfigured("\(ConfigurationProblem.stateDirectory(directory))")
      }
      log.warning(
        "state-in-memory", ("reason", .text(directory.refusals.joined(separator: "; "))),
        ("effect", "users, secrets and the certificate are lost when the server ends"),
        ("remedy", "set state-directory, or let the server write to \(StateDirectory.standard)"))
    } else if directory.isNew {
      log.info("state-directory-made", ("path", .text(directory.path ?? "")))
    }
    return directory
  }

  func run() throws(StartFailure) -> Outcome {
    try beginSuccession()
    try checkListeners()
    let files = FileLimit.raise()
    state.connections = ConnectionLedger(files: files)
    logHostLimits(files: files)
    try prepareCredentials()
    try startPublicAddresses()
    warnOfPrivateAddresses()
    let contexts = try makeFirstContexts(shardCount)
    let engine = try chooseEngine()
    confineFiles()
    try startHook()
    try startCredentialServices()
    let pages = try startEvents()
    try startHandshakes()
    try startShards(contexts, engine)
    // The store may have reported changes while the shards were started.
    configureShards()
    pages?.use(shards)
    try startAdmin(engine)
    try startWatchdog()
    host.confinement?.confineThread()
    try startReader()
    let addresses = watchAddresses()
    host.confinement?.filterSystemCalls(allowsThreads: usesWebClient)
    host.confinement?.report(to: log)
    // After an upgrade, the older process has already printed the line.
    if succession == nil, let made = firstIceServers() { host.show(made) }
    showDemo()
    logAllocationLimits()
    log.info(
      "ready", ("listeners", .number(state.listeners.count)), ("shards", .number(shards.count)),
      ("engine", engine == .epoll ? "epoll" : "io_uring"),
      ("relay-addresses", .text(state.relayed.entries.map { "\($0.advertised)" }.joined(separator: ","))),
      ("relay-ports", "\(settings.relay.ports.lowerBound)-\(settings.relay.ports.upperBound)"))
    ServiceManager.notify("READY=1")
    return serve(watching: addresses)
  }

  /// Reports a listener's address that is in use, before anything else is opened.
  private func checkListeners() throws(StartFailure) {
    for listener in state.listeners where succession?.offer.has(listener) != true {
      do throws(Errno) {
        try PortProbe.check(listener.address, isStream: listener.transport.isStream)
      } catch {
        throw .failed(Self.listenFailure(listener, error))
      }
    }
  }

  /// Logs the limits of this host that are below what a busy relay needs.
  private func logHostLimits(files: UInt64) {
    if files < Self.plentyOfFiles {
      log.write(
        files < Self.fewFiles ? .warning : .info, "file-limit-low", ("files", .number(files)),
        ("needed", .number(Self.plentyOfFiles)),
        ("effect", "each relay and each connection needs one"),
        ("remedy", "raise the hard limit: ulimit -Hn, LimitNOFILE=, ulimits: nofile"))
    }
    let buffers = SocketBuffers.obtainable()
    if buffers < SocketBuffers.wanted {
      let wanted = SocketBuffers.wanted.rawValue
      log.warning(
        "socket-buffers-small", ("bytes", .number(buffers.rawValue)), ("needed", .number(wanted)),
        ("effect", "bursts of datagrams are dropped before they are read"),
        ("remedy", "sysctl -w net.core.rmem_max=\(wanted) net.core.wmem_max=\(wanted)"))
    }
  }

  var shardCount: Int { settings.workers == 0 ? Thread.usableCoreCount : settings.workers }

  /// Starts one shard after another: the kernel's choice among sockets of one port depends on their order, and every
  /// socket must be open before the first client comes.
  private func startShards(_ contexts: [SecureContexts], _ engine: DataPlane.Engine) throws(StartFailure) {
    let count = shardCount
    let gate = makeGate()
    let relaySettings = makeRelaySettings()
    let cookieKey = HelloCookieKey(state.cookieKey)
    if state.seeds.isEmpty { state.seeds = (0..<count).map { _ in SecureRandom.bytes(32) } }
    let exchange = PacketExchange(count: count)
    let mailboxes = try makeMailboxes(count)
    for (index, mailbox) in mailboxes.enumerated() {
      do throws(Errno) {
        let plan = ShardPlan(
          index: index, engine: engine,
          identity: Relay.Identity(
            shard: index, shardCount: count, seed: state.seeds[index], sharedKey: state.sharedKey),
          listeners: state.listeners, settings: relaySettings, gate: gate, relayed: state.relayed,
          limiter: state.limiter, users: state.users, bandwidth: state.bandwidth, ledger: state.ledger,
          connections: state.connections, strangersMemory: state.strangersMemory,
          handshakes: handshakes[index % handshakes.count],
          credentials: credentials, hook: hook, events: events,
          probeUser: probeUser,
          serverNames: ServerNames(settings, realms: realmNames), trustedProxies: settings.proxyProtocol.trusted,
          contexts: contexts.isEmpty ? nil : contexts[index],
          cookieKey: cookieKey,
          mailbox: mailbox, siblings: mailboxes, exchange: exchange, reports: reports, board: ShardBoard(), log: log,
          confinement: host.confinement, inherits: succession != nil)
        shardThreads.append(try Thread(name: "shard-\(index)") { Shard.run(plan) })
        shards.append(mailbox)
        boards.append(plan.board)
      } catch {
        throw .failed("cannot start shard \(index): \(error)")
      }
      try wait(for: succession == nil ? .bound : .prepared, of: [index])
    }
    try inherit()
    try finishSuccession()
    for listener in state.listeners {
      log.info("listening", ("transport", "\(listener.transport)"), ("address", "\(listener.address)"))
    }
  }

  private func makeMailboxes(_ count: Int) throws(StartFailure) -> [Mailbox<ShardMessage>] {
    var mailboxes: [Mailbox<ShardMessage>] = []
    for index in 0..<count {
      do throws(Errno) { mailboxes.append(try Mailbox(capacity: 65_536)) } catch {
        throw .failed("cannot start shard \(index): \(error)")
      }
    }
    return mailboxes
  }

  /// Gives the shards the older process's records: to all at once if no shard binds a socket, else to one after
  /// another, because the order of bound sockets matters.
  private func inherit() throws(StartFailure) {
    guard let inheritance = try receiveInheritance(), let offer = succession?.offer else { return }
    let bindsNothing = state.listeners.allSatisfy { offer.has($0) }
    for (index, part) in inheritance.enumerated() {
      shards[index].post(.inherit(part))
      if !bindsNothing { try wait(for: .bound, of: [index]) }
    }
    if bindsNothing { try wait(for: .bound, of: Set(inheritance.indices)) }
  }

  private enum Stage {
    case prepared
    case bound
  }

  /// Waits until these shards have reached the stage.
  private func wait(for stage: Stage, of indices: Set<Int>) throws(StartFailure) {
    var missing = indices
    while !missing.isEmpty {
      // The event loop is not used here: its other events would end every wait at once.
      reports.wait()
      for report in reports.takeAll() {
        switch report {
        case .prepared(let shard) where stage == .prepared: missing.remove(shard)
        case .bound(let shard, let counts, let closed):
          succession?.counts.add(counts)
          succession?.closed += closed
          if stage == .bound { missing.remove(shard) }
        case .unreadable(_, let error):
          throw .failed("the records of the running server cannot be read: \(error)")
        case .failed(_, let listener, let error):
          throw .failed(listener.map { Self.listenFailure($0, error) } ?? "a shard could not start: \(error)")
        case .storeChanged(let contents): state.storeContents.merge(contents) { $1 }
        case .prepared, .paused, .exported, .idle, .memoryFreed, .stopped: break
        }
      }
    }
  }
}

extension Server.ServerState {
  /// Creates the shared state before the first shard starts. The ledger has no limits yet.
  init(_ settings: Settings, realms: [String], log: Log) {
    let hasIPv6 = Interfaces.hasIPv6
    var listeners = Self.listeners(settings, realms: realms, hasIPv6: hasIPv6, log: log)
    listeners += ListenerPlan.missing(for: settings.turn.natDiscovery.addresses, in: listeners)
    let addresses = RelayAddresses.detect(
      configured: settings.relay.addresses, hostAddresses: Interfaces.addresses(), hasIPv6: hasIPv6)
    let entries = addresses.map {
      RelayedAddresses.Entry(local: $0, advertised: settings.relay.advertise.address(for: $0) ?? $0)
    }
    let limits = settings.limits
    self.init(
      listeners: listeners,
      relayed: RelayedAddresses(entries: entries, ports: settings.relay.ports),
      limiter: StrangerRateLimiter(
        limit: limits.unauthenticatedPerAddress,
        total: settings.strangerAnswers(
          shards: settings.workers == 0 ? Thread.usableCoreCount : settings.workers),
        seed: (SecureRandom.word(), SecureRandom.word())),
      ledger: QuotaLedger(limits: []),
      strangersMemory: StrangersMemory(limit: limits.strangersMemory, hasAdmin: settings.admin.listen.address != nil),
      automatic: AllocationLimits(
        ports: settings.relay.ports.count, addresses: entries.count, descriptors: FileLimit.raise()),
      sharedKey: SecureRandom.bytes(32))
  }

  /// The configured listeners, or the default ones that this host and this version support.
  private static func listeners(
    _ settings: Settings, realms: [String], hasIPv6: Bool, log: Log
  ) -> [ListenerPlan] {
    if let configured = settings.listeners {
      return configured.map { listener in
        let realm = realms.firstIndex(of: listener.realm ?? settings.realm) ?? 0
        return ListenerPlan(
          transport: listener.transport, address: listener.address, auto: listener.auto,
          realm: RealmID(rawValue: UInt8(truncatingIfNeeded: realm)), isProxied: listener.proxyProtocol)
      }
    }
    if !hasIPv6 { log.info("ipv6-absent", ("effect", "no listeners on [::]")) }
    return settings.effectiveListeners.filter { hasIPv6 || $0.address.family == .ipv4 }.map {
      ListenerPlan(transport: $0.transport, address: $0.address, auto: $0.auto)
    }
  }
}
