internal import Configuration
internal import Metrics
internal import NetIO

extension Server {
  /// The engine of this run: what is configured, or the best that the kernel and its rules let us have.
  func chooseEngine() throws(StartFailure) -> DataPlane.Engine {
    switch settings.engine {
    case .epoll:
      return .epoll
    case .ioUring:
      // Asked for by name, it is not silently replaced.
      guard let refusal = DataPlane.probeRing() else { return .ioUring }
      throw .failed("`engine: io-uring` is refused here: \(refusal); \(Self.remedy(for: refusal)), or configure `engine: auto`")
    case .auto:
      guard let refusal = DataPlane.probeRing() else { return .ioUring }
      log.info("engine-fallback", ("engine", "epoll"), ("refused", "io_uring"), ("error", "\(refusal)"))
      state.engineFallbacks += 1
      return .epoll
    }
  }

  private static func remedy(for refusal: Errno) -> String {
    switch refusal {
    case .notPermitted, .permissionDenied:
      "a seccomp profile or the sysctl kernel.io_uring_disabled forbids it: allow it"
    case .notImplemented, .invalidArgument: "it needs Linux 6.1 or newer"
    default: "the kernel is short of memory or descriptors for it: raise the limits"
    }
  }
}
