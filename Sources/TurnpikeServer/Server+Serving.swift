public import Configuration
internal import Credentials
internal import Crypto
public import Metrics
internal import NetIO
internal import NetworkTypes
internal import STUN
internal import TLS
internal import TURN

/// Signals, reports, the drain and the end.
extension Server {
  /// Waits for signals and reports until the server has stopped.
  func serve() -> Outcome {
    var stopsAt: Instant?
    var certificate = certificateContent()
    var nextLook = Instant.read().advanced(bySeconds: Self.certificateInterval)
    var nextKeys = Instant.read().advanced(bySeconds: Self.ticketKeyInterval)
    while true {
      let nextChore = settings.tls.certificate.isEmpty ? nextKeys : min(nextLook, nextKeys)
      _ = loop.wait(milliseconds: waitingTime(until: min(stopsAt ?? nextChore, nextChore)))
      if nextKeys <= Instant.read() {
        nextKeys = Instant.read().advanced(bySeconds: Self.ticketKeyInterval)
        reloadCertificates()
      }
      if !settings.tls.certificate.isEmpty, nextLook <= Instant.read() {
        nextLook = Instant.read().advanced(bySeconds: Self.certificateInterval)
        let current = certificateContent()
        if current != certificate {
          certificate = current
          reloadCertificates()
        }
      }
      while let signal = signals.next() {
        switch signal {
        case .reload:
          reload()
        case .terminate:
          if state.isDraining || settings.drainTimeout == 0 {
            return stop()
          }
          stopsAt = Instant.read().advanced(bySeconds: settings.drainTimeout)
          drain()
        }
      }
      var idleShards = 0
      for report in reports.takeAll() {
        switch report {
        case .idle: idleShards += 1
        // Here, and not on the shard: it takes milliseconds, and media would wait.
        case .memoryFreed: Heap.trim()
        case .storeChanged(let secrets):
          state.storeSecrets.merge(secrets) { $1 }
          configureShards()
        case .failed(let shard, _, let error):
          log.error("shard-failed", ("shard", "\(shard)"), ("error", "\(error)"))
        case .bound, .stopped: break
        }
      }
      state.idleShards += idleShards
      if state.isDraining, state.idleShards >= shards.count { return stop() }
      if let stopsAt, stopsAt <= Instant.read() {
        log.warning("drain-timeout", ("allocations", "\(state.ledger.total)"))
        return stop()
      }
    }
  }

  /// Seconds between two looks at whether the certificate's files have changed.
  private static let certificateInterval: UInt32 = 5
  /// Seconds after which the keys of session tickets are changed; who comes back then shakes hands in full.
  private static let ticketKeyInterval: UInt32 = 86_400

  private func waitingTime(until deadline: Instant?) -> Int32 {
    guard let deadline else { return -1 }
    return Int32(clamping: deadline.nanoseconds(since: Instant.read()) / 1_000_000 + 1)
  }

  /// New allocations are refused, live ones run out.
  private func drain() {
    ServiceManager.notify("STOPPING=1")
    state.isDraining = true
    configureShards()
    log.info("draining", ("allocations", "\(state.ledger.total)"), ("timeout", "\(settings.drainTimeout)s"))
    for shard in shards { shard.post(.reportWhenIdle) }
  }

  private func stop() -> Outcome {
    for shard in shards { shard.post(.stop) }
    for service in credentialServices { service.stop() }
    for thread in threads { thread.join() }
    log.info("stopped")
    return .stopped
  }

  /// Reads configuration, certificates and secrets again. What a running server cannot change (listeners, workers,
  /// relay addresses and ports, the store) is left as it is, and said so. A wrong configuration changes nothing.
  private func reload() {
    guard let fresh = host.reload() else {
      log.error("reload-failed", ("effect", "the configuration from before stays in force"))
      return
    }
    let unchangeable: [(String, Bool)] = [
      ("listeners", fresh.listeners != settings.listeners), ("workers", fresh.workers != settings.workers),
      ("nat-discovery", fresh.natDiscovery != settings.natDiscovery),
      ("relay.addresses", fresh.relay.addresses != settings.relay.addresses),
      ("relay.advertise", fresh.relay.advertise != settings.relay.advertise),
      ("relay.ports", fresh.relay.ports != settings.relay.ports), ("realm", fresh.realm != settings.realm),
      ("auth.store", fresh.auth.store != settings.auth.store),
      ("realms", fresh.realms.mapValues(\.store) != settings.realms.mapValues(\.store)), ("engine", fresh.engine != settings.engine),
      ("state-directory", fresh.stateDirectory != settings.stateDirectory),
    ]
    for (key, _) in unchangeable.filter(\.1) {
      log.warning("reload-needs-restart", ("key", key), ("effect", "the value from before stays in force"))
    }
    var next = fresh
    next.listeners = settings.listeners
    next.workers = settings.workers
    next.relay.addresses = settings.relay.addresses
    next.relay.advertise = settings.relay.advertise
    next.relay.ports = settings.relay.ports
    next.natDiscovery = settings.natDiscovery
    next.realm = settings.realm
    next.auth.store = settings.auth.store
    // A realm that is gone has nobody any more, whatever its store says; a new one waits for the restart.
    state.goneRealms = Set(settings.realms.keys).subtracting(fresh.realms.keys)
    next.realms = settings.realms.keys.reduce(into: [:]) { realms, name in
      realms[name] = fresh.realms[name] ?? Settings.Realm()
      realms[name]?.store = settings.realms[name]?.store ?? ""
    }
    next.engine = settings.engine
    next.stateDirectory = settings.stateDirectory
    settings = next
    log.configure(level: Log.Level(settings.log.level), format: Log.Format(settings.log.format))
    state.limiter.setLimit(settings.limits.unauthenticatedPerAddress)
    state.ledger.setLimits(QuotaLedger.Limits.all(settings, realms: realmNames))
    configureShards()
    reloadCertificates()
    log.info("reloaded")
  }

  private func reloadCertificates() {
    do throws(StartFailure) {
      ticketKeys = TLSContext.TicketKeys()
      let contexts = try makeSecureContexts(shards.count)
      if contexts.isEmpty { return }
      for (shard, context) in zip(shards, contexts) { shard.post(.certificates(context)) }
      log.info("certificates-loaded")
    } catch {
      if case .failed(let text) = error.outcome {
        log.error("certificates-failed", ("error", text), ("effect", "the certificate from before stays in use"))
      }
    }
  }

  func configureShards() {
    let settings = makeRelaySettings()
    let gate = makeGate()
    let names = ServerNames(self.settings, realms: realmNames)
    for shard in shards where !shard.post(.configure(settings, gate, names)) {
      log.error("mailbox-full", ("effect", "a shard keeps its old settings"))
    }
  }

  // MARK: - What shards are configured with

  func makeRelaySettings() -> RelaySettings {
    var result = RelaySettings()
    result.realms = makeRealmSettings()
    result.accessTokenKeys = makeAccessTokenKeys()
    result.software = Array(settings.software.utf8)
    result.isAnonymous = settings.auth.anonymous
    result.passwordAlgorithms = settings.auth.passwordAlgorithms.map { $0 == .sha256 ? .sha256 : .md5 }
    result.nonceLifetime = settings.auth.nonceLifetime
    result.defaultLifetime = settings.lifetime.default
    result.maximumLifetime = settings.lifetime.maximum
    result.permissionLifetime = settings.lifetime.permission
    result.channelLifetime = settings.lifetime.channel
    result.allowsMobility = settings.relay.mobility
    result.relaysTCP = settings.relay.tcp
    result.natDiscovery = NATDiscovery(
      primary: settings.natDiscovery.primary, alternate: settings.natDiscovery.alternate)
    result.redirect = Redirect(settings.redirect)
    result.answersClassicSTUN = settings.rfc3489
    result.isDraining = state.isDraining
    return result
  }

  func makeGate() -> PeerGate {
    PeerGate(
      rules: PeerRules(allow: settings.peers.allow, deny: settings.peers.deny), relayed: state.relayed,
      ownAddresses: Set(Interfaces.addresses()), closed: state.listeners.map(\.address))
  }
}

extension Redirect {
  /// Nil where nobody is to be redirected.
  init?(_ redirect: Settings.Redirect) {
    let domain = Array(redirect.domain.utf8)
    if let address = SocketAddress(redirect.server) {
      self.init(server: address.address, port: address.port == 0 ? nil : address.port, domain: domain)
    } else {
      let text = redirect.server.hasPrefix("[") ? redirect.server.dropFirst().dropLast() : redirect.server[...]
      guard let address = IPAddress(text) else { return nil }
      self.init(server: address, port: nil, domain: domain)
    }
  }
}

extension QuotaLedger.Limits {
  /// By the realms' numbers.
  static func all(_ settings: Settings, realms: [String]) -> [QuotaLedger.Limits] {
    realms.map { QuotaLedger.Limits(settings.realms[$0]?.limits ?? settings.limits) }
  }

  init(_ limits: Settings.Limits) {
    self.init(total: limits.allocations, perUser: limits.allocationsPerUser, perAddress: limits.allocationsPerAddress)
  }
}

extension Log.Level {
  /// The configured level as the log knows it.
  public init(_ level: Settings.Log.Level) {
    self =
      switch level {
      case .debug: .debug
      case .info: .info
      case .warning: .warning
      case .error: .error
      }
  }
}

extension Log.Format {
  /// The configured format as the log knows it.
  public init(_ format: Settings.Log.Format) { self = format == .json ? .json : .text }
}
