internal import CLinux
internal import Synchronization

/// The first SIGINT, SIGTERM or SIGHUP as news to be asked for; the second ends the program at once, whatever it is
/// doing, as it would have without this.
public enum FirstSignal {
  private static let count = Atomic(0)

  /// From now on the first one is caught.
  public static func catchIt() {
    // Made ready here: a handler has no business with what is made at its first use.
    _ = hasCome
    clinux_ignore_broken_pipes()
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for signal in [SIGINT, SIGTERM, SIGHUP] {
      unsafe sigaddset(&set, signal)
      _ = clinux_handle(signal) { number in
        if FirstSignal.count.add(1, ordering: .relaxed).oldValue > 0 { clinux_die_of(number) }
      }
    }
    // Whoever started us may have blocked them, as threads of Swift's and Go's runtimes do.
    _ = unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
  }

  /// Whether it has come.
  public static var hasCome: Bool { count.load(ordering: .relaxed) > 0 }
}
