internal import CLinux
internal import Synchronization

/// Catches the first SIGINT, SIGTERM or SIGHUP, so that the program can poll for it. The second signal kills the
/// program.
public enum FirstSignal {
  private static let count = Atomic(0)

  /// Installs the handler.
  public static func catchIt() {
    // Initialises the static variable now, because a signal handler must not do it.
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
    // The parent may have blocked these signals, as threads of Swift's and Go's runtimes do.
    _ = unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
  }

  /// Whether a signal has arrived.
  public static var hasCome: Bool { count.load(ordering: .relaxed) > 0 }
}
