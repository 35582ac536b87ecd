internal import NetIO
public import NetworkTypes
internal import System
internal import TURNClient

/// The progress of a run, for display.
public struct LoadProgress: Sendable {
  /// Completed units; for `hold` the number of allocations.
  public let done: UInt64
  /// Packets lost or in flight; for `allocate` and `hold` the number of failed requests.
  public let lost: UInt64
  public let now: Instant
}

/// Puts a load on a server and measures the result. Uses up to one core: under load it polls sockets without sleeping,
/// so that batches stay small and latencies are accurate.
public enum LoadGenerator {
  /// Blocks until the run is over.
  ///
  /// - Parameter progress: called about twice a second.
  public static func run(
    _ settings: LoadSettings, progress: (LoadProgress) -> Void = { _ in }
  ) throws(LoadError) -> LoadResult {
    switch settings.work {
    case .allocate:
      var run = try AllocateRun(settings)
      return try run.run(progress: progress)
    case .floor: return try FloorRun.run(settings)
    case .hold:
      return try hold(settings, progress: progress)
    case .binding, .relay, .relayToRelay:
      var run = try TrafficRun.open(settings)
      let result: LoadResult
      do throws(LoadError) { result = try run.run(progress: progress) } catch {
        run.end()
        throw error
      }
      run.end()
      return result
    }
  }

  private static func hold(
    _ settings: LoadSettings, progress: (LoadProgress) -> Void
  ) throws(LoadError) -> LoadResult {
    let before = settings.serverProcess.flatMap(ProcessorTime.residentMemory)
    var session = try Session(settings, count: settings.allocations)
    let begin = Instant.read()
    try session.allocateAll()
    var result = LoadResult()
    result.unit = .allocation
    result.setUp = Instant.read().duration(since: begin)
    let first = Reading(settings)
    let end = first.instant.advanced(by: settings.duration)
    var nextReport = first.instant
    while Instant.read() < end {
      _ = try session.side.poll(for: .milliseconds(100))
      let now = Instant.read()
      for index in session.side.inbox.indices { session.receiveControl(session.side.inbox[index], now: now) }
      try session.upkeep(now: now)
      if now >= nextReport {
        nextReport = now.advanced(by: .milliseconds(500))
        progress(LoadProgress(done: UInt64(settings.allocations), lost: session.failures, now: now))
      }
    }
    result.measure(from: first, to: Reading(settings))
    result.residentBefore = before
    result.residentAfter = settings.serverProcess.flatMap(ProcessorTime.residentMemory)
    let held = session.clients.reduce(0) { $0 + ($1.machine.state == .allocated ? 1 : 0) }
    result.completed = UInt64(held)
    result.sent = UInt64(settings.allocations)
    result.lost = UInt64(settings.allocations - held)
    result.failures = session.failures
    result.firstFailure = session.firstFailure
    session.deleteAll()
    return result
  }
}
