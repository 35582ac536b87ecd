internal import NetIO
internal import Synchronization

/// Ctrl-C, and SIGTERM: the end of a series and not of the program, which has a summary to write, and an allocation to
/// give back. Before a series has begun they end the program.
final class Interruption: Sendable {
  private struct State: ~Copyable {
    var reader: SignalReader?
    var isWatching = false
    var hasCome = false

    mutating func look() {
      if !isWatching {
        isWatching = true
        reader = try? SignalReader()
      }
      if reader?.next() != nil { hasCome = true }
    }
  }

  private let state = Mutex(State())

  /// Whether it has come. Signals are caught from the first question on.
  var isThere: Bool {
    state.withLock { state in
      state.look()
      return state.hasCome
    }
  }

  /// Whether it has come already; catches no signals.
  var hasCome: Bool { state.withLock { $0.hasCome } }
}
