internal import Configuration
internal import Log
internal import NetIO
internal import NetworkTypes
internal import System
internal import TURN

/// The addresses that clients get for the relay addresses, and their changes while the server runs.
extension Server {
  /// The longest wait of the start for the first answers. Then the server starts with the addresses that it has.
  private static let startTime = Duration.seconds(10)

  /// Starts the search on its thread, and waits for its first report if the configuration does not have all answers.
  func startPublicAddresses() throws(StartFailure) {
    do throws(Errno) {
      let service = try PublicAddressService()
      let confinement = host.confinement
      told.thread = try Thread(name: "addresses") {
        confinement?.confineResolver()
        service.run()
      }
      try loop.add(service.reports.rawValue, EventToken(kind: Self.publicAddressEvent))
      told.service = service
    } catch {
      throw .failed("cannot start a thread: \(error)")
    }
    keepAddressesOfPredecessor()
    askForPublicAddresses()
    // A newer process has the older one's answers, and calls wait for its start.
    guard settings.relay.advertise.looksUp, succession == nil, let reports = told.service?.reports else { return }
    let deadline = Instant.read().advanced(by: Self.startTime)
    while reports.isEmpty {
      let left = deadline.duration(since: .read())
      guard left > .zero else {
        return log.warning(
          "public-address-slow", ("seconds", .number(Self.startTime.wholeSeconds)),
          ("effect", .text("clients are told \(advertisedText) until the answer comes")),
          ("remedy", "set relay.advertise to the public address, or correct relay.detect"))
      }
      _ = Readiness.wait(forAnyOf: [reports.rawValue, signals.rawValue], until: deadline)
      try heedEarlySignals()
    }
    takePublicAddresses()
  }

  /// Reads signals while the start waits. SIGTERM and SIGINT end the process at once: it has no client yet. Others are
  /// kept for a running server.
  private func heedEarlySignals() throws(StartFailure) {
    while let signal = signals.next() {
      switch signal {
      case .terminate, .interrupt:
        log.info("stopped")
        throw StartFailure(outcome: .stopped)
      case .reload, .upgrade: earlySignals.append(signal)
      }
    }
  }

  /// Logs private relay addresses, except those for which the search logs its failure.
  func warnOfPrivateAddresses() {
    let searches = settings.relay.advertise.looksUp
    let known = state.relayed.entries.filter { !searches || told.hasFound($0.local) }
    RelayAddresses.warnIfPrivate(known, listeners: state.listeners, isTrial: firstUser != nil, log: log)
  }

  private var advertisedText: String { state.relayed.entries.map { "\($0.advertised)" }.joined(separator: ",") }

  /// After an upgrade clients get the older process's addresses until the search has ended.
  private func keepAddressesOfPredecessor() {
    guard settings.relay.advertise.looksUp, let earlier = succession?.offer.advertised else { return }
    let kept = state.relayed.entries.map { entry in
      guard entry.advertised == entry.local else { return entry.advertised }
      return earlier.first { $0.local == entry.local }?.advertised ?? entry.advertised
    }
    state.relayed = state.relayed.advertising(kept, now: .read())
  }

  /// Starts a search for the present configuration.
  func askForPublicAddresses() { told.ask(settings.relay, locals: state.relayed.entries.map(\.local)) }

  /// Takes the answers to the present question; true if clients get another address than before.
  @discardableResult
  func takePublicAddresses() -> Bool {
    guard let service = told.service else { return false }
    let entries = state.relayed.entries
    let next = told.addresses(after: service.reports.takeAll(), of: entries, now: .read(), to: log)
    guard next != entries.map(\.advertised) else { return false }
    state.relayed = state.relayed.advertising(next, now: .read())
    warnOfSharedAddresses()
    return true
  }

  /// Logs a public address that was found for several relays. `ConfigurationRules` reports a configured one.
  private func warnOfSharedAddresses() {
    for shared in RelayAddresses.shared(state.relayed.entries) {
      log.limited(
        .warning, "public-address-shared", source: "\(shared.advertised)", burst: 1,
        [
          ("address", .text("\(shared.advertised)")),
          ("relays", .text(shared.locals.map(\.description).joined(separator: ","))),
          ("effect", .text(RelayAddresses.sharedEffect)), ("remedy", .text(RelayAddresses.sharedRemedy)),
        ])
    }
  }

  /// Uses a new configuration: configured addresses at once, the others when the search has found them.
  func configurePublicAddresses() {
    let advertise = settings.relay.advertise
    let next = state.relayed.entries.map { entry in
      advertise.address(for: entry.local) ?? (advertise.looksUp ? entry.advertised : entry.local)
    }
    if next != state.relayed.entries.map(\.advertised) {
      state.relayed = state.relayed.advertising(next, now: .read())
      told.countChange()
    }
    askForPublicAddresses()
  }

  /// Forgets former public addresses whose time is over.
  func forgetFormerAddresses() {
    guard let next = state.relayed.forgetting(now: .read()) else { return }
    let gone = state.relayed.former.filter { !next.former.contains($0) }.map(\.advertised.description)
    log.info("public-address-forgotten", ("addresses", .text(gone.joined(separator: ","))))
    state.relayed = next
    configureShards()
  }

  /// Takes answers while the server runs: shards and operators get the new addresses.
  func usePublicAddresses() {
    guard takePublicAddresses() else { return }
    told.countChange()
    configureShards()
    updateAdmin()
  }
}

extension Advertise {
  /// The configured address for a local one; nil: none, or a name.
  func address(for local: IPAddress) -> IPAddress? {
    if case .address(let address)? = configured(for: local) { return address }
    return nil
  }
}
