internal import Configuration
internal import Crypto
internal import Log
internal import NetworkTypes
internal import System
internal import TLS
internal import TURN

/// The periodic tasks of a running server.
struct Chores {
  /// The current task of the file-reading thread.
  enum Reading {
    case nothing
    case certificate
    case configuration
  }

  /// The end of the drain; nil before it begins.
  var stopsAt: Instant?
  /// The time at which the admin endpoint ends after an upgrade; nil without an upgrade.
  var adminStopsAt: Instant?
  /// The latest time for it: until then it waits for answers that have not been sent.
  var adminMustStopAt = Instant(nanoseconds: 0)
  /// The time of the next check of the certificate's files; nil if none are configured.
  var nextLook: Instant?
  /// The time of the next poll of the host's addresses; nil if netlink reports changes.
  var nextPoll: Instant?
  /// The time of the next `WATCHDOG=1`; nil if no service manager expects it.
  var nextPulse: Instant?
  var nextKeys = Instant.read().advanced(by: Chores.ticketKeyInterval)
  var reading = Reading.nothing
  /// The time to log `file-slow`; nil while no file is read, and after it was logged.
  var slowAt: Instant?
  /// Whether this reload's configuration has been applied.
  var isReloaded = false
  /// Whether SIGHUP came during a read. One more reload is enough for any number of signals.
  var wantsReload = false
  /// Gives the outcome of the present reload to the operators that wait for it: nil for success, else the problem.
  var waiting: [(String?) -> Void] = []

  /// The time of the next task.
  var next: Instant {
    [stopsAt, adminStopsAt, nextLook, nextPoll, nextPulse, slowAt].compactMap(\.self).reduce(nextKeys) {
      $1 < $0 ? $1 : $0
    }
  }

  /// The polling interval of the certificate's files, and of the host's addresses without netlink.
  static let lookInterval = Duration.seconds(5)
  /// The interval at which session ticket keys are replaced and the certificate is read again; older sessions then need
  /// a full handshake.
  static let ticketKeyInterval = Duration.seconds(86_400)
  /// The reading time after which `file-slow` is logged.
  static let slowInterval = Duration.seconds(5)
}

/// SIGHUP and changed certificates: the reader's thread reads the files, which may block; the main thread uses them.
extension Server {
  func startReader() throws(StartFailure) {
    let source = certificateSource(settings.tls)
    let fingerprint = source.hasFiles ? source.fingerprint(Files.readRegular) : nil
    do throws(Errno) {
      let reader = reader
      // The thread is never joined, because it may wait for a network drive.
      _ = try Thread(name: "files") { reader.run(fingerprint) }
    } catch {
      throw .failed("cannot start a thread: \(error)")
    }
    scheduleLook()
  }

  private func scheduleLook() {
    chores.nextLook =
      settings.tls.files.isEmpty ? nil : Instant.read().advanced(by: Chores.lookInterval)
  }

  func runChores() {
    let now = Instant.read()
    stopAdminIfDue(now)
    forgetFormerAddresses()
    if chores.nextKeys <= now {
      ticketKeys.areOld = true
      let isAsked = ask(.certificate, .certificate(certificateSource(settings.tls)))
      // During another read the keys wait.
      chores.nextKeys = now.advanced(by: isAsked ? Chores.ticketKeyInterval : Chores.lookInterval)
    }
    if let nextLook = chores.nextLook, nextLook <= now {
      scheduleLook()
      ask(.certificate, .changedCertificate(certificateSource(settings.tls)))
    }
    if let nextPoll = chores.nextPoll, nextPoll <= now {
      chores.nextPoll = now.advanced(by: Chores.lookInterval)
    }
    if let nextPulse = chores.nextPulse, nextPulse <= now { pulse(now) }
    if let slowAt = chores.slowAt, slowAt <= now {
      chores.slowAt = nil
      log.warning(
        "file-slow", ("file", .text(reader.file)), ("seconds", .number(Chores.slowInterval.wholeSeconds)),
        ("effect", "the present configuration stays in force until the file is read"))
    }
  }

  /// Lets the watchdog probe the relay path and notify systemd, if all shards work.
  private func pulse(_ now: Instant) {
    guard let interval = ServiceManager.watchdogInterval else { return chores.nextPulse = nil }
    chores.nextPulse = now.advanced(by: interval / 3)
    guard shards.firstStuck() == nil else { return }
    watchdog?.pulse()
  }

  /// Requests a file; false if a read is still pending.
  @discardableResult
  private func ask(_ reading: Chores.Reading, _ request: BackgroundReader.Request) -> Bool {
    guard chores.reading == .nothing else { return false }
    chores.reading = reading
    chores.slowAt = Instant.read().advanced(by: Chores.slowInterval)
    reader.ask(request)
    return true
  }

  /// Reads configuration, certificates and secrets again (SIGHUP, or an operator's request).
  func reload() {
    if chores.reading == .nothing {
      ServiceManager.notify("RELOADING=1\nMONOTONIC_USEC=\(Instant.read().nanoseconds / 1000)")
      ask(.configuration, .configuration(running: settings, certificateSource(settings.tls)))
    } else {
      chores.wantsReload = true
    }
  }

  func takeReaderReports() {
    for report in reader.reports.takeAll() {
      switch report {
      case .configuration(nil):
        log.error("reload-failed", ("effect", "the previous configuration stays in force"))
        finishReading()
      case .configuration(let configuration?):
        // The certificate follows in a message of its own.
        use(configuration)
      case .certificate(let files):
        if let files { use(files) }
        finishReading()
      case .certificateFailed(let problem):
        certificateFailed(problem)
        // Old ticket keys are not kept for another day because one reading failed.
        if ticketKeys.areOld { chores.nextKeys = .read().advanced(by: .seconds(3600)) }
        finishReading()
      }
    }
  }

  private func finishReading() {
    if chores.reading == .configuration {
      ServiceManager.notify("READY=1")
      if chores.isReloaded { log.info("reloaded") }
      let problem = chores.isReloaded ? nil : "the configuration is wrong: the log has the problems"
      for answer in chores.waiting { answer(problem) }
      chores.waiting = []
    }
    chores.isReloaded = false
    chores.reading = .nothing
    chores.slowAt = nil
    if chores.wantsReload {
      chores.wantsReload = false
      reload()
    }
  }

  /// Applies a new configuration. Keys that take effect at a restart keep their values, with a warning.
  private func use(_ configuration: Configuration) {
    let (merged, waiting) = configuration.settings.merged(into: settings)
    for key in waiting {
      log.warning("reload-needs-restart", ("key", .text(key)), ("effect", "the previous value stays in force"))
    }
    state.removedRealms = Set(settings.realms.keys).subtracting(configuration.settings.realms.keys)
    settings = merged
    isDrainTimeoutGiven = configuration.gives("drain-timeout")
    log.configure(level: settings.log.level, format: settings.log.format, privacy: settings.log.privacy)
    state.limiter.setLimits(
      perAddress: settings.limits.unauthenticatedPerAddress, total: settings.strangerAnswers(shards: shardCount))
    state.ledger.setLimits(makeQuotaLimits())
    configurePublicAddresses()
    configureShards()
    scheduleLook()
    updateAdmin()
    chores.isReloaded = true
  }

  private func use(_ files: ServerCertificates) {
    do throws(CertificateError) {
      for (shard, contexts) in zip(shards, try makeSecureContexts(files, shards.count)) {
        shard.post(.certificates(contexts))
      }
      updateAdmin()
      log.info("certificates-loaded")
    } catch {
      certificateFailed("\(error)")
    }
  }

  private func certificateFailed(_ problem: String) {
    log.error("certificates-failed", ("error", .text(problem)), ("effect", "the previous certificate stays in use"))
  }
}
