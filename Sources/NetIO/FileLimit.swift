internal import CLinux

/// How many files and sockets the process may have open: every relay is one.
public enum FileLimit {
  /// Raises the limit to what the system lets this process have, and returns it.
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
