internal import CSeccomp
public import System

/// Restrictions of the whole process that no thread can undo.
public enum ProcessLocks {
  /// Sets no-new-privileges: a program that the process starts gets no rights from set-user-ID bits or file
  /// capabilities.
  public static func forbidNewPrivileges() throws(Errno) {
    guard cseccomp_prctl(PR_SET_NO_NEW_PRIVS, 1, 0) == 0 else { throw Errno(rawValue: cseccomp_errno()) }
  }

  /// Disables core dumps, also those to handlers such as systemd-coredump, to which a core limit of 0 does not apply.
  /// Other processes of the same user can no longer trace this process.
  public static func forbidCoreDumps() throws(Errno) {
    guard cseccomp_forbid_core_files() == 0, cseccomp_prctl(PR_SET_DUMPABLE, 0, 0) == 0 else {
      throw Errno(rawValue: cseccomp_errno())
    }
  }
}
