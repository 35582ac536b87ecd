internal import CLinux

/// The signals that the server handles.
public enum Signal: Sendable {
  /// SIGTERM.
  case terminate
  /// SIGINT: Ctrl-C on a terminal.
  case interrupt
  /// SIGHUP.
  case reload
  /// SIGUSR2.
  case upgrade
}

extension Signal {
  /// The kernel's number.
  public var number: UInt8 {
    switch self {
    case .terminate: UInt8(SIGTERM)
    case .interrupt: UInt8(SIGINT)
    case .reload: UInt8(SIGHUP)
    case .upgrade: UInt8(SIGUSR2)
    }
  }

  public init?(number: UInt8) {
    switch Int32(number) {
    case SIGTERM: self = .terminate
    case SIGINT: self = .interrupt
    case SIGHUP: self = .reload
    case SIGUSR2: self = .upgrade
    default: return nil
    }
  }
}

/// Reads signals as events. Create it before the first thread starts, so that every thread inherits the signal mask.
public struct SignalReader: ~Copyable {
  private let descriptor: FileDescriptor

  public var rawValue: Int32 { descriptor.rawValue }

  public init() throws(Errno) {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR2] { unsafe sigaddset(&set, signal) }
    _ = unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    clinux_ignore_unused_signals()
    descriptor = FileDescriptor(
      owning: try retrying {
        unsafe signalfd(-1, &set, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
      })
  }

  /// The next signal; nil if none is pending.
  public func next() -> Signal? {
    var info = signalfd_siginfo()
    guard unsafe read(descriptor.rawValue, &info, MemoryLayout<signalfd_siginfo>.size) > 0 else { return nil }
    return Signal(number: UInt8(truncatingIfNeeded: info.ssi_signo)) ?? .terminate
  }
}
