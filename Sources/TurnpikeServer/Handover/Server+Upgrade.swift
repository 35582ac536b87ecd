internal import Admin
internal import Configuration
internal import Crypto
internal import Log
internal import NetIO
internal import NetworkTypes
internal import Synchronization
internal import System
internal import TURN
internal import Tables

/// An upgrade that is not finished, and its newer process.
struct Upgrade {
  var connection: HandoverConnection
  var process: Int32
  /// The time at which the upgrade is given up.
  var deadline: Instant
  var started = Instant.read()
  /// The callers that wait for the outcome.
  var answers: [(UpgradeOutcome) -> Void]

  /// The time in which the newer process must have read its configuration and opened its stores.
  static let timeout = Duration.seconds(30)
  /// The time in which the newer process must have made its tables; media waits meanwhile.
  static let gapTimeout = Duration.seconds(10)
}

enum UpgradeOutcome: Sendable {
  case done(UpgradeReport)
  /// The older process continues; with the reason.
  case failed(String)
}

/// The result of an upgrade, for logs and operators.
struct UpgradeReport: Sendable {
  var process: Int32
  var counts: HandoverCounts
  /// The time in which neither process read from sockets.
  var gap: Duration
}

/// The older process's side of an upgrade.
extension Server {
  /// Starts the program once more, after SIGUSR2 or an operator's request.
  func beginUpgrade(_ answer: @escaping (UpgradeOutcome) -> Void = { _ in }) {
    if upgrade != nil {
      upgrade?.answers.append(answer)
      return
    }
    let refusal: String? =
      host.starter == nil
      ? "this process cannot start programs" : state.isDraining ? "the server drains" : nil
    if let refusal {
      log.error("upgrade-failed", ("error", .text(refusal)), ("effect", "this process goes on"))
      countFailedUpgrade()
      return answer(.failed(refusal))
    }
    do throws(Errno) {
      guard let started = try host.starter?.launch(as: newParent, until: .read().advanced(by: .seconds(10)))
      else { return }
      try loop.add(started.connection.rawValue, EventToken(kind: Self.upgradeEvent))
      upgrade = Upgrade(
        connection: started.connection, process: started.process,
        deadline: Instant.read().advanced(by: Upgrade.timeout), answers: [answer])
      log.info("upgrade-started", ("process", .number(started.process)))
      // If the process has already ended, its reason is in the connection and is read next.
      try? started.connection.send(.offer, offer())
    } catch {
      log.error("upgrade-failed", ("error", "\(error)"), ("effect", "this process goes on"))
      countFailedUpgrade()
      answer(.failed("the new process cannot be started: \(error)"))
    }
  }

  private var newParent: Starter.Parent { ServiceManager.followsProcesses ? .serviceManager : .server }

  private func countFailedUpgrade() {
    state.upgrades.failed &+= 1
    updateAdmin()
  }

  private func offer() -> [UInt8] {
    var offer = HandoverOffer()
    offer.program = Array(host.version.utf8)
    offer.workers = UInt16(truncatingIfNeeded: shards.count)
    offer.listeners = state.listeners.map {
      HandoverOffer.Listener(isStream: $0.transport.isStream, address: $0.address)
    }
    offer.realms = realmNames.map { Array($0.utf8) }
    offer.relayAddresses = state.relayed.entries.map(\.local)
    offer.advertised =
      state.relayed.entries + state.relayed.former.map { .init(local: $0.local, advertised: $0.advertised) }
    offer.formerSince = state.relayed.entries.map { _ in nil } + state.relayed.former.map(\.since)
    offer.sharedKey = state.sharedKey
    offer.cookieKey = state.cookieKey
    offer.seeds = state.seeds
    offer.upgrades = state.upgrades
    if let demoSecret {
      offer.demoSecret = demoSecret
      offer.roomSecret = roomSecret
    }
    var coder = RecordCoder()
    coder.begin(1)
    // Writing cannot fail.
    try? offer.code(with: &coder)
    coder.end()
    return coder.bytes
  }

  /// Gives up the upgrade; this process continues.
  private func abandonUpgrade(_ reason: String) {
    guard let upgrade else { return }
    // Closing the connection ends the newer process, if it still runs.
    loop.remove(upgrade.connection.rawValue)
    self.upgrade = nil
    log.error(
      "upgrade-failed", ("process", .number(upgrade.process)), ("error", .text(reason)),
      ("effect", "this process goes on"))
    countFailedUpgrade()
    for answer in upgrade.answers { answer(.failed(reason)) }
  }

  /// Reads the newer process's messages.
  func takeUpgradeMessages() {
    guard let upgrade else { return }
    if upgrade.deadline <= Instant.read() {
      return abandonUpgrade("the new process was not ready after \(Upgrade.timeout.wholeSeconds) s")
    }
    do throws(HandoverConnection.Failure) {
      guard let message = try upgrade.connection.receiveNow() else { return }
      guard message.kind == .prepared else { throw HandoverConnection.Failure(reason: "an unexpected message") }
      try handOver(upgrade)
    } catch {
      abandonUpgrade(error.reason)
    }
  }

  // MARK: - The gap

  /// Hands all state over. The main thread does nothing else meanwhile, because media waits.
  private func handOver(_ upgrade: Upgrade) throws(HandoverConnection.Failure) {
    let start = Instant.read()
    var counts = HandoverCounts()
    var marks: [Instant] = []
    do throws(HandoverConnection.Failure) {
      for shard in shards { shard.post(.handOver(.pause)) }
      _ = try collect { if case .paused = $0 { HandoverPackage() } else { nil } }
      marks.append(.read())
      for shard in shards { shard.post(.handOver(.export)) }
      let packages = try collect { if case .exported(_, let package) = $0 { package } else { nil } }
      marks.append(.read())
      for (shard, package) in packages.enumerated() {
        counts.add(package.counts)
        try upgrade.connection.send(package, ofShard: shard)
      }
      let rest = state.relayed.export() + exportState()
      try upgrade.connection.send(rest, 0, HandoverConnection.serverPart)
      let kept = UInt32(clamping: counts.kept)
      try upgrade.connection.send(.complete, (0..<4).map { UInt8(truncatingIfNeeded: kept >> (24 - 8 * $0)) })
      marks.append(.read())
      let ready = try upgrade.connection.receive(.ready, within: Upgrade.gapTimeout)
      // From here on the newer process is the server.
      if ServiceManager.followsProcesses { ServiceManager.notify("MAINPID=\(upgrade.process)") }
      let waits = supervisor == nil && !ServiceManager.followsProcesses
      try upgrade.connection.send(.go, [waits ? 1 : 0], supervisor.map { [$0.rawValue] } ?? [])
      for (index, shard) in shards.enumerated() {
        shard.post(.handOver(.leave(index < ready.descriptors.count ? ready.descriptors[index] : -1)))
      }
    } catch {
      for shard in shards { shard.post(.handOver(.resume)) }
      throw error
    }
    let gap = Instant.read().duration(since: start)
    let parts = zip([start] + marks, marks + [.read()]).map { $1.nanoseconds(since: $0) / 1000 }
    log.debug(
      "upgrade-gap", ("pause-us", .number(parts[0])), ("export-us", .number(parts[1])),
      ("send-us", .number(parts[2])), ("restore-us", .number(parts[3])))
    finishUpgrade(upgrade, UpgradeReport(process: upgrade.process, counts: counts, gap: gap))
  }

  /// Waits for one report of each shard; returns their packages in the order of the shards.
  private func collect(
    _ match: (ShardReport) -> HandoverPackage?
  ) throws(HandoverConnection.Failure) -> [HandoverPackage] {
    var found: [Int: HandoverPackage] = [:]
    let deadline = Instant.read().advanced(by: .seconds(5))
    while found.count < shards.count {
      for report in reports.takeAll() {
        if let package = match(report) { found[report.handoverShard] = package } else { take(report) }
      }
      if found.count == shards.count { break }
      guard Instant.read() < deadline else { throw HandoverConnection.Failure(reason: "a shard does not answer") }
      reports.wait(for: .milliseconds(100))
    }
    return shards.indices.map { found[$0] ?? HandoverPackage() }
  }

  private func finishUpgrade(_ upgrade: Upgrade, _ report: UpgradeReport) {
    self.upgrade = nil
    state.isSucceeded = true
    state.relayed.beginSuccession()
    log.info(
      "upgraded", ("process", .number(report.process)), ("allocations", .number(report.counts.allocations)),
      ("connections", .number(report.counts.connections)), ("kept", .number(report.counts.kept)),
      ("gap-us", .number(report.gap.wholeNanoseconds / 1000)))
    for answer in upgrade.answers { answer(.done(report)) }
    // If a service manager or another process waits for the server's end, this process need not wait.
    if supervisor == nil, !ServiceManager.followsProcesses {
      successor = upgrade.connection
    } else {
      formerConnection = upgrade.connection
      loop.remove(upgrade.connection.rawValue)
    }
    endSupervision()
    drainAfterUpgrade()
  }

  /// Drains this process, as after SIGTERM: its TLS and DTLS clients stay until their allocations end.
  private func drainAfterUpgrade() {
    let now = Instant.read()
    chores.stopsAt = now.advanced(by: settings.drainTimeout)
    // The newer process sends the watchdog's messages to the service manager.
    chores.nextPulse = nil
    told.service?.stop()
    chores.adminStopsAt = now.advanced(by: .milliseconds(100))
    chores.adminMustStopAt = now.advanced(by: .seconds(3))
    state.isDraining = true
    configureShards()
    for shard in shards { shard.post(.reportWhenIdle) }
  }

  // MARK: - After the upgrade

  /// Sends a signal to the newer process.
  func forward(_ signal: Signal) { try? successor?.send(.signal, [signal.number]) }

  /// The status with which the newer process has ended; nil while it runs, or if this process does not wait for it.
  func takeSuccessorStatus() -> Int32? {
    guard let successor else { return nil }
    do throws(HandoverConnection.Failure) {
      while let message = try successor.receiveNow() {
        if message.kind == .ended { return endWaiting(Int32(message.bytes.first ?? 1)) }
      }
      return nil
    } catch {
      // The newer process has ended without a status: it was killed, or it crashed.
      return endWaiting(1)
    }
  }

  private func endWaiting(_ status: Int32) -> Int32 {
    successor = nil
    return status
  }

  /// Waits for the newer process's end, and passes signals on. All other threads of this process have ended.
  func waitForSuccessor() -> Outcome {
    try? successor?.send(.drained)
    Heap.trim()
    while let successor {
      if let status = takeSuccessorStatus() { return .succeeded(status) }
      _ = Readiness.wait(forAnyOf: [signals.rawValue, successor.rawValue], until: .distantFuture)
      while let signal = signals.next() { forward(signal) }
    }
    return .stopped
  }

  /// Ends the admin endpoint a moment after the upgrade, so that the operator who requested it gets the answer.
  func stopAdminIfDue(_ now: Instant) {
    guard let due = chores.adminStopsAt, due <= now else { return }
    if mayEndAdmin(now) { endAdmin() } else { chores.adminStopsAt = now.advanced(by: .milliseconds(20)) }
  }

  /// Whether the endpoint has sent its answers, or has had time enough. Its threads have a low priority, so on a busy host
  /// an answer may take a while.
  private func mayEndAdmin(_ now: Instant) -> Bool {
    admin?.service.isAnswering != true || now >= chores.adminMustStopAt
  }

  /// Ends the admin endpoint, whose address the newer process waits for; the path of a Unix socket stays for it.
  func endAdmin() {
    if let due = chores.adminStopsAt {
      Readiness.sleep(until: due)
      while !mayEndAdmin(.read()) { Readiness.sleep(until: Instant.read().advanced(by: .milliseconds(20))) }
    }
    chores.adminStopsAt = nil
    admin?.service.stop()
    for thread in admin?.threads ?? [] { thread.joinSoon() }
    admin = nil
  }
}

extension ShardReport {
  fileprivate var handoverShard: Int {
    switch self {
    case .paused(let shard), .exported(let shard, _): shard
    default: -1
    }
  }
}
