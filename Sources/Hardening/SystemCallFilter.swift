internal import CSeccomp
public import System

/// Limits the system calls of the process (seccomp(2), with libseccomp).
///
/// A call that is on neither list fails with ENOSYS, and the kernel writes it to its audit log (`dmesg`, or auditd). So
/// a newer libc falls back to an older call, and a call that the list lacks makes one operation fail instead of ending
/// the process. Calls that only an intruder makes kill the process.
public enum SystemCallFilter {
  /// Loads the filter for all present and future threads of the process. The kernel refuses it if one of the threads
  /// has another filter.
  ///
  /// - Parameter allowsThreads: whether threads may be started later, as libcurl does to look up names.
  public static func load(allowsThreads: Bool = false) throws(Errno) {
    guard let filter = unsafe seccomp_init(cseccomp_refuse) else { throw Errno(rawValue: cseccomp_errno()) }
    defer { unsafe seccomp_release(filter) }
    try check(unsafe seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1))
    // Kernels before 4.14 cannot log. The filter works without the log.
    _ = unsafe seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1)
    try unsafe add(SystemCallList.allowed, cseccomp_allow, to: filter)
    try unsafe add(SystemCallList.fatal, cseccomp_kill, to: filter)
    if allowsThreads { try check(unsafe cseccomp_allow_threads(filter)) }
    try check(unsafe seccomp_load(filter))
  }

  /// Names that this architecture or this libseccomp does not have are skipped.
  private static func add(_ names: [String], _ action: UInt32, to filter: UnsafeMutableRawPointer) throws(Errno) {
    for name in names {
      let number = unsafe seccomp_syscall_resolve_name(name)
      if number >= 0 { try check(unsafe cseccomp_add(filter, action, number)) }
    }
  }

  /// libseccomp returns errors as negative numbers.
  private static func check(_ status: Int32) throws(Errno) {
    if status < 0 { throw Errno(rawValue: -status) }
  }
}
