internal import NetIO
internal import Synchronization

/// Ctrl-C, and SIGTERM: the end of a series and not of the program, which has a summary to write, and an allocation to
/// give back. Before a series has begun they end the program, and so does a second one after it.
final class Interruption: Sendable {
  private let isWatching = Atomic(false)

  /// Whether it has come. Signals are caught from the first question on.
  var isThere: Bool {
    if !isWatching.exchange(true, ordering: .relaxed) { FirstSignal.catchIt() }
    return hasCome
  }

  /// Whether it has come already; catches no signals.
  var hasCome: Bool { FirstSignal.hasCome }
}
