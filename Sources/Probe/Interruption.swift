internal import Synchronization
internal import System

/// During a series, the first SIGINT (Ctrl-C) or SIGTERM ends the series: the program then writes its summary and
/// deletes its allocation. A signal before a series begins, and the second signal during a series, end the program.
final class Interruption: Sendable {
  private let isWatching = Atomic(false)

  /// Whether a signal has come. The first call installs the signal handlers.
  func watch() -> Bool {
    if !isWatching.exchange(true, ordering: .relaxed) { FirstSignal.catchIt() }
    return isInterrupted
  }

  /// Whether a signal has come; installs no handlers.
  var isInterrupted: Bool { FirstSignal.hasCome }
}
