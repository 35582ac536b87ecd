internal import Configuration
internal import Log
internal import NetworkTypes
internal import System

extension Server {
  /// The engine of this run: the configured one, or the best that the kernel and its security rules allow.
  func chooseEngine() throws(StartFailure) -> DataPlane.Engine {
    switch settings.engine {
    case .epoll:
      return .epoll
    case .ioUring:
      // A configured engine is not replaced without an error.
      guard let refusal = DataPlane.probeRing() else { return .ioUring }
      throw .failed(
        "`engine: io-uring` is refused here: \(refusal); \(Self.remedy(for: refusal)), or configure `engine: auto`")
    case .auto:
      guard let refusal = DataPlane.probeRing() else { return .ioUring }
      log.info("engine-fallback", ("engine", "epoll"), ("refused", "io_uring"), ("error", "\(refusal)"))
      return .epoll
    }
  }

  static func remedy(for refusal: Errno) -> String {
    switch refusal {
    case .notPermitted, .permissionDenied:
      "a seccomp profile or the sysctl kernel.io_uring_disabled forbids it: allow it"
    case .notImplemented, .invalidArgument: "it needs Linux 6.1 or newer"
    default: "the kernel is short of memory or descriptors for it: raise the limits"
    }
  }

  static func listenFailure(_ listener: ListenerPlan, _ error: Errno) -> String {
    "cannot listen on \(listener.transport)://\(listener.address): \(error); \(remedy(forListening: error))"
  }

  static func remedy(forListening error: Errno) -> String {
    switch error {
    case .addressInUse: "another process has this port: stop it, or choose another in `listeners` or `nat-discovery`"
    case .addressNotAvailable: "this host has no such address: correct it in `listeners` or `nat-discovery`"
    case .permissionDenied: "ports below 1024 need CAP_NET_BIND_SERVICE"
    default: "see `listeners` in the configuration"
    }
  }

  /// A listener without its options.
  static func text(of listener: Settings.Listener) -> String { "\(listener.transport)://\(listener.address)" }
}
