internal import CLinux

/// The signals that steer the server.
public enum Signal: Sendable {
  /// SIGTERM or SIGINT.
  case terminate
  /// SIGHUP.
  case reload
}

/// Reads signals as events. To be made before the first thread starts, so that every thread inherits the block.
public struct SignalReader: ~Copyable {
  private let descriptor: FileDescriptor

  public var rawValue: Int32 { descriptor.rawValue }

  public init() throws(Errno) {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for signal in [SIGTERM, SIGINT, SIGHUP] { unsafe sigaddset(&set, signal) }
    _ = unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    // A client that closes while we write is an error of that write, not the end of the process.
    clinux_ignore_broken_pipes()
    descriptor = FileDescriptor(
      owning: try retrying32 {
        unsafe signalfd(-1, &set, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
      })
  }

  /// The next signal; nil where none waits.
  public func next() -> Signal? {
    var info = signalfd_siginfo()
    guard unsafe read(descriptor.rawValue, &info, MemoryLayout<signalfd_siginfo>.size) > 0 else { return nil }
    return Int32(bitPattern: info.ssi_signo) == SIGHUP ? .reload : .terminate
  }
}
