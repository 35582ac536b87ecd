internal import NetIO
internal import NetworkTypes
internal import System
internal import TURNClient

/// Runs cycles of 401, Allocate and Refresh with lifetime 0 on several clients at once. Each cycle has a new address
/// (over TCP, TLS and DTLS a new connection), because servers block a used five-tuple for a while.
struct AllocateRun: ~Copyable {
  let settings: LoadSettings
  private var session: Session
  private var begun: [Instant] = []
  private var completed: UInt64 = 0
  private var started: UInt64 = 0
  private var latency = LatencyHistogram()
  private var measures = false

  init(_ settings: LoadSettings) throws(LoadError) {
    self.settings = settings
    session = try Session(settings, count: settings.allocations)
    begun = [Instant](repeating: Instant(nanoseconds: 0), count: settings.allocations)
  }

  mutating func run(progress: (LoadProgress) -> Void) throws(LoadError) -> LoadResult {
    let residentBefore = settings.serverProcess.flatMap(ProcessorTime.residentMemory)
    for index in session.clients.indices { try begin(index) }
    try session.side.flush()
    let start = Instant.read()
    try exchange(until: start.advanced(by: settings.warmUp), progress: progress)
    let first = Reading(settings)
    let before = completed
    measures = true
    try exchange(until: first.instant.advanced(by: settings.duration), progress: progress)
    var result = LoadResult()
    result.unit = .cycle
    result.measure(from: first, to: Reading(settings))
    result.completed = completed - before
    result.sent = started
    result.failures = session.failures
    result.firstFailure = session.firstFailure
    result.latency = latency
    result.residentBefore = residentBefore
    result.residentAfter = settings.serverProcess.flatMap(ProcessorTime.residentMemory)
    if completed == 0 {
      guard session.failures == 0 else { throw .socket("every cycle", reason: session.firstFailure ?? "failed") }
      throw .nothingReceived(sent: started)
    }
    return result
  }

  private mutating func begin(_ index: Int) throws(LoadError) {
    started += 1
    begun[index] = .read()
    session.clients[index].machine.allocate(now: begun[index])
    try session.transmit(index)
  }

  /// Replaces a client by a new one.
  private mutating func restart(_ index: Int) throws(LoadError) {
    session.clients[index] = session.makeClient()
    try session.side.renew(index)
    try begin(index)
  }

  private mutating func exchange(until end: Instant, progress: (LoadProgress) -> Void) throws(LoadError) {
    var nextReport = Instant.read().advanced(by: .milliseconds(500))
    while true {
      let now = Instant.read()
      if now >= end { return }
      if try session.side.poll(for: .milliseconds(1)) > 0 {
        for index in session.side.inbox.indices { try take(session.side.inbox[index], now: now) }
        try session.side.flush()
      }
      if now >= nextReport {
        nextReport = now.advanced(by: .milliseconds(500))
        for index in session.clients.indices { try retransmit(index, now: now) }
        try session.side.flush()
        progress(LoadProgress(done: completed, lost: session.failures, now: now))
      }
    }
  }

  private mutating func take(_ message: Incoming, now: Instant) throws(LoadError) {
    let index = message.client
    session.receiveControl(message, now: now)
    try settle(index, now: now)
    try session.transmit(index)
  }

  private mutating func retransmit(_ index: Int, now: Instant) throws(LoadError) {
    guard let deadline = session.clients[index].machine.deadline, deadline <= now else { return }
    session.clients[index].machine.advance(to: now)
    try settle(index, now: now)
    try session.transmit(index)
  }

  private mutating func settle(_ index: Int, now: Instant) throws(LoadError) {
    while let event = session.clients[index].machine.takeEvent() {
      if let failure = event.failure {
        session.record(failure.words)
        // Sends the Refresh that deletes an unusable allocation, if there is one.
        try session.transmit(index)
        try session.side.flush()
        return try restart(index)
      }
      switch event.operation {
      case .allocate: session.clients[index].machine.delete(now: now)
      case .delete:
        completed += 1
        if measures { latency.add(Instant.read().nanoseconds(since: begun[index])) }
        return try restart(index)
      default: break
      }
    }
  }
}
