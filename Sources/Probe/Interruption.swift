internal import Synchronization
internal import System

/// Ctrl-C and SIGTERM end a series and not the program, which then writes its summary and deletes its allocation.
/// Before a series begins they end the program at once, and so does the second signal of a series.
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
