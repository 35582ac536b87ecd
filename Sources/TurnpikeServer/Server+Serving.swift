internal import Admin
internal import Configuration
internal import Credentials
internal import Crypto
internal import Log
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import System
internal import TLS
internal import TURN

/// Signals, reports, the drain and the end.
extension Server {
  /// Waits for signals and reports until the server has stopped.
  func serve(watching addresses: consuming AddressWatch?) -> Outcome {
    // The addresses may have changed since the shards got them.
    refreshOwnAddresses()
    if ServiceManager.watchdogInterval != nil { chores.nextPulse = .read() }
    for signal in earlySignals { _ = act(on: signal) }
    while true {
      let next = min(chores.next, state.relayed.nextForgetting ?? chores.next)
      _ = loop.wait(for: next.duration(since: .read()))
      runChores()
      if addresses?.drain() ?? true { refreshOwnAddresses() }
      while let signal = signals.next() {
        if let outcome = act(on: signal) { return outcome }
      }
      guard let passedOn = takePredecessorMessages() else { return stop() }
      for signal in passedOn {
        if let outcome = act(on: signal) { return outcome }
      }
      takeUpgradeMessages()
      if let status = takeSuccessorStatus() {
        _ = stop()
        return .succeeded(status)
      }
      takeOrders()
      takeReaderReports()
      takeShardReports()
      usePublicAddresses()
      if state.isDraining, state.idleShards >= shards.count { return stop() }
      if let stopsAt = chores.stopsAt, stopsAt <= Instant.read() {
        log.warning("drain-timeout", ("allocations", .number(state.ledger.total)))
        return stop()
      }
    }
  }

  /// Returns an outcome if the signal ends the server.
  private func act(on signal: Signal) -> Outcome? {
    if successor != nil {
      forward(signal)
      return nil
    }
    switch signal {
    case .reload: reload()
    case .upgrade: beginUpgrade()
    case .terminate, .interrupt:
      if chores.stopsAt != nil || settings.drainTimeout == .zero { return stop() }
      drain(after: signal)
    }
    return nil
  }

  /// Starts to watch the host's addresses; nil without netlink, and then they are polled.
  func watchAddresses() -> AddressWatch? {
    do throws(Errno) {
      let watch = try AddressWatch()
      try loop.add(watch.rawValue, EventToken(kind: Self.addressEvent))
      return watch
    } catch {
      log.info("addresses-polled", ("reason", .text("\(error)")))
      chores.nextPoll = Instant.read()
      return nil
    }
  }

  func takeShardReports() {
    for report in reports.takeAll() { take(report) }
  }

  func take(_ report: ShardReport) {
    switch report {
    case .idle: state.idleShards += 1
    // The main thread does this and not the shard, because it takes milliseconds and media would wait.
    case .memoryFreed: Heap.trim()
    case .storeChanged(let contents):
      state.storeContents.merge(contents) { $1 }
      configureShards()
      updateAdmin()
    case .failed(let shard, _, let error):
      log.error("shard-failed", ("shard", .number(shard)), ("error", "\(error)"))
    case .prepared, .bound, .unreadable, .paused, .exported, .stopped: break
    }
  }

  /// The longest drain after Ctrl-C on a terminal, because a person waits there, unless `drain-timeout` is configured.
  private static let watchedDrain = Duration.seconds(10)

  /// Refuses new allocations and keeps live ones until they end.
  func drain(after signal: Signal) {
    let isWatched = signal == .interrupt && host.isWatched && !isDrainTimeoutGiven
    let timeout = isWatched ? min(settings.drainTimeout, Self.watchedDrain) : settings.drainTimeout
    chores.stopsAt = Instant.read().advanced(by: timeout)
    ServiceManager.notify("STOPPING=1")
    state.isDraining = true
    configureShards()
    updateAdmin()
    let remedy: LogValue =
      signal == .interrupt
      ? "press Ctrl-C again, or send SIGTERM again, to stop at once" : "send SIGTERM again to stop at once"
    log.info(
      "draining", ("allocations", .number(state.ledger.total)), ("timeout", .number(timeout.wholeSeconds)),
      ("remedy", remedy))
    for shard in shards { shard.post(.reportWhenIdle) }
  }

  private func stop() -> Outcome {
    if !state.isDraining { ServiceManager.notify("STOPPING=1") }
    for shard in shards { shard.post(.stop) }
    for service in credentialServices { service.stop() }
    if state.isSucceeded { endAdmin() } else { stopAdmin() }
    hook?.stop()
    // The reader may wait for a file for ever; the process's end also ends its thread.
    reader.ask(.stop)
    for thread in shardThreads { thread.join() }
    for thread in admin?.threads ?? [] { thread.joinSoon() }
    for thread in storeThreads + hookThreads { thread.joinSoon() }
    // The events stop after the shards, which report the end of their allocations.
    events?.stop()
    eventThread?.joinSoon()
    // The search may wait for a name server for seconds; the process's end also ends its thread.
    told.service?.stop()
    watchdog?.stop()
    watchdogThread?.joinSoon()
    for service in handshakes { service.stop() }
    for thread in handshakeThreads { thread.join() }
    log.info("stopped")
    return waitForSuccessor()
  }

  private func stopAdmin() {
    admin?.service.stop()
    if let path = settings.admin.listen.unixSocket, admin != nil { Files.remove(path) }
  }

  func configureShards() {
    let settings = makeRelaySettings()
    let gate = makeGate()
    let names = ServerNames(self.settings, realms: realmNames)
    let proxies = self.settings.proxyProtocol.trusted
    for shard in shards where !shard.post(.configure(settings, gate, names, trustedProxies: proxies)) {
      log.error("mailbox-full", ("effect", "a shard keeps its old settings"))
    }
  }

  // MARK: - The configuration of the shards

  func makeRelaySettings() -> RelaySettings {
    var result = RelaySettings()
    result.policy = settings.turn
    result.realms = makeRealmSettings()
    result.accessTokenKeys = makeAccessTokenKeys()
    result.isDraining = state.isDraining
    return result
  }

  func makeGate() -> PeerGate {
    state.ownAddresses = Set(Interfaces.addresses())
    return PeerGate(
      rules: PeerRules(allow: settings.peers.allow, deny: settings.peers.deny), relayed: state.relayed,
      ownAddresses: state.ownAddresses,
      closed: state.listeners.map(\.address) + [settings.admin.listen.address].compactMap(\.self)
        + [settings.auth.hook, settings.events.webhook].flatMap(\.webAddresses))
  }

  /// Updates the host's addresses in the peer rules: local services on a new address must not be peers.
  private func refreshOwnAddresses() {
    let current = Set(Interfaces.addresses())
    guard current != state.ownAddresses else { return }
    func list(_ addresses: Set<IPAddress>) -> LogValue {
      .text(addresses.sorted().map(\.description).joined(separator: ","))
    }
    log.info(
      "addresses-changed", ("added", list(current.subtracting(state.ownAddresses))),
      ("removed", list(state.ownAddresses.subtracting(current))))
    configureShards()
    told.service?.lookAgain()
  }
}
