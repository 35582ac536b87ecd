internal import CLinux

/// Notifies systemd, if it started this process (sd_notify(3)): one datagram to the socket that systemd names.
public enum ServiceManager {
  /// The longest time between two `WATCHDOG=1` after which systemd ends this process (sd_watchdog_enabled(3)); nil if
  /// systemd does not watch this process.
  public static var watchdogInterval: Duration? {
    guard let interval = variable("WATCHDOG_USEC").flatMap({ Int64($0) }), interval > 0 else { return nil }
    if let process = variable("WATCHDOG_PID"), process != "\(getpid())" { return nil }
    return .microseconds(interval)
  }

  /// Whether a service manager has started this process and accepts notifications.
  public static var isThere: Bool { variable("NOTIFY_SOCKET") != nil }

  /// Whether the service manager also follows this process as its child. Process 1 of a container is the child of the
  /// container's runtime, and all other processes of the container end with it.
  public static var followsProcesses: Bool { isThere && getpid() != 1 }

  private static func variable(_ name: String) -> String? {
    unsafe getenv(name).map { unsafe String(cString: $0) }
  }

  /// Sends a state to the service manager; does nothing without one.
  public static func notify(_ state: String) {
    guard let path = variable("NOTIFY_SOCKET") else { return }
    var name = Array(path.utf8)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    // A leading @ means the NUL of an abstract socket name.
    if name.first == UInt8(ascii: "@") { name[0] = 0 }
    let size = unsafe withUnsafeMutableBytes(of: &address.sun_path) { field in
      guard name.count < field.count else { return 0 }
      unsafe field.copyBytes(from: name)
      return name.count
    }
    guard size > 0 else { return }
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { return }
    let owned = FileDescriptor(owning: descriptor)
    let length = socklen_t(MemoryLayout<sa_family_t>.size + size)
    unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
        guard unsafe clinux_connect(owned.rawValue, name, length) == 0 else { return }
        let bytes = Array(state.utf8)
        // The manager's queue may be full, and the caller must also read signals, so this does not wait for long.
        var interest = pollfd(fd: owned.rawValue, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&interest, 1, 1000)
        _ = unsafe send(owned.rawValue, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      }
    }
  }
}
