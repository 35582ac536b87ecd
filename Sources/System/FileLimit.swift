internal import CLinux

/// The limit of open files and sockets of the process. Each relayed address needs a socket.
public enum FileLimit {
  /// Raises the limit to the highest value that the system allows, and returns it.
  @discardableResult
  public static func raise() -> UInt64 {
    var limit = rlimit()
    guard unsafe clinux_get_file_limit(&limit) == 0 else { return 0 }
    limit.rlim_cur = limit.rlim_max
    _ = unsafe clinux_set_file_limit(&limit)
    guard unsafe clinux_get_file_limit(&limit) == 0 else { return 0 }
    return UInt64(limit.rlim_cur)
  }
}
