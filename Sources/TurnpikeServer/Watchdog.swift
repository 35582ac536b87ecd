internal import Log
internal import Synchronization
internal import System
internal import TURN

/// Tells systemd that the server works: that the main thread and all shards run, and that the relay path carries data.
/// Without this message for `WatchdogSec`, systemd restarts the server.
final class Watchdog: Sendable {
  private enum Item: Sendable {
    case pulse
    case stop
  }

  private let queue: Mailbox<Item>
  /// Nil: no listener takes a plain client, so only the threads are watched.
  private let probe: SelfProbe?
  /// The present bans, which also apply to the probe's client.
  private let bans: @Sendable () -> BanList
  /// A count that grows while the server drops packets or refuses requests at limits.
  private let overload: @Sendable () -> UInt64
  private let log: Log

  init(
    _ probe: SelfProbe?, bans: @escaping @Sendable () -> BanList, overload: @escaping @Sendable () -> UInt64, log: Log
  ) throws(Errno) {
    queue = try Mailbox(capacity: 4)
    self.probe = probe
    self.bans = bans
    self.overload = overload
    self.log = log
  }

  /// Begins one probe, unless one waits. The main thread calls this while all shards work.
  func pulse() { queue.post(.pulse, unlessMoreThan: 0) }

  func stop() { queue.post(.stop) }

  /// The body of the thread.
  func run() {
    while true {
      queue.wait()
      for item in queue.takeAll() {
        if case .stop = item { return }
        look()
      }
    }
  }

  private func look() {
    let before = overload()
    guard let probe, !bans().contains(probe.client), let problem = probe.failure() else {
      return ServiceManager.notify("WATCHDOG=1")
    }
    // In a flood the probe's packets are dropped too. A restart would end all calls, but not the flood.
    guard overload() == before else { return ServiceManager.notify("WATCHDOG=1") }
    log.limited(
      .error, "relay-path-broken", ("reason", .text(problem)),
      ("effect", "systemd restarts the server if this lasts for WatchdogSec"))
  }
}

extension Server {
  /// Starts the probe for systemd, if it watches this process.
  func startWatchdog() throws(StartFailure) {
    guard ServiceManager.watchdogInterval != nil else { return }
    let view = admin?.view
    let boards = boards
    do throws(Errno) {
      let watchdog = try Watchdog(
        probeUser.flatMap { SelfProbe(state.listeners, user: $0) },
        bans: { view?.banBook.withLock { $0.list } ?? BanList([]) },
        overload: { boards.reduce(0) { $0 &+ $1.read().refusals } }, log: log)
      let confinement = host.confinement
      watchdogThread = try Thread(name: "watchdog") {
        confinement?.confineThread()
        watchdog.run()
      }
      self.watchdog = watchdog
    } catch {
      throw .failed("cannot start a thread: \(error)")
    }
  }
}
