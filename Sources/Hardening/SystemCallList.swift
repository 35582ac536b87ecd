/// The calls have names, so that the list is valid on every architecture. It has the calls that strace showed after the
/// filter was loaded (both engines; every transport, relayed TCP, a reload, a drain, changed stores and certificates),
/// and calls with a reason beside them. Threads, timers and rings are made before the filter is loaded, so the calls
/// that make them are not in the list.
enum SystemCallList {
  static let allowed = memory + threads + time + signals + files + events + sockets + process

  /// realloc calls `mremap` for large blocks.
  static let memory = ["brk", "mmap", "munmap", "mremap", "mprotect", "madvise"]

  /// A thread may make its first calls after the filter is loaded: `set_robust_list`, `rseq`, `setpriority`, and the
  /// calls with which it gives up rights (`capset`, Landlock). Locks that spin call `sched_yield`; malloc counts the
  /// cores (`sched_getaffinity`) for a new heap.
  static let threads = [
    "futex", "set_robust_list", "rseq", "gettid", "sched_yield", "sched_getaffinity", "setpriority",
    "capget", "capset", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "exit", "exit_group",
  ]

  /// The libc reads clocks with a call if the kernel's clock source does not allow it without one. SQLite sleeps while
  /// another process has locked the store.
  static let time = ["clock_gettime", "gettimeofday", "time", "clock_nanosleep", "nanosleep", "timerfd_settime"]

  /// For abort(3), and for a process that is stopped and continues (`restart_syscall`).
  static let signals = [
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "tgkill", "restart_syscall",
  ]

  /// Calls on files. A libc uses one of several names, by its version and the architecture. abort(3) writes its message
  /// with `writev`. SQLite calls `ioctl`, `fchmod`, `fsync`, `readlink` and `getcwd` when it opens a store.
  static let files = [
    "read", "pread64", "write", "writev", "pwrite64", "open", "openat", "close", "fstat", "stat", "lstat",
    "newfstatat", "statx", "fstatfs", "statfs", "access", "faccessat", "faccessat2", "lseek", "fcntl", "fsync",
    "fdatasync", "ftruncate", "getdents64", "getcwd", "readlink", "readlinkat", "rename", "renameat", "renameat2",
    "unlink", "unlinkat", "mkdir", "mkdirat", "fchmod", "fchown", "ioctl", "inotify_init1", "inotify_add_watch",
    "inotify_rm_watch",
  ]

  /// `epoll_pwait` and `ppoll` are for architectures without the older calls.
  static let events = [
    "epoll_ctl", "epoll_wait", "epoll_pwait", "poll", "ppoll", "io_uring_enter", "io_uring_register",
  ]

  /// Each relay opens a socket; libwebsockets calls `accept`; the host's addresses are read over a netlink socket.
  static let sockets = [
    "socket", "bind", "listen", "accept", "accept4", "connect", "getsockname", "setsockopt", "getsockopt", "sendto",
    "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "shutdown",
  ]

  /// `prlimit64`: limits of descriptors and stacks. `sysinfo`: qsort(3) of older libcs. `uname`, `getuid`, `getgid`,
  /// `getegid`: the libc's name services and SQLite.
  static let process = [
    "getpid", "getuid", "geteuid", "getgid", "getegid", "getrandom", "uname", "sysinfo", "prlimit64", "prctl",
  ]

  /// Calls that start programs, read or write other processes, load code into the kernel, or change the user.
  static let fatal = [
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd",
    "init_module",
    "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf", "perf_event_open", "userfaultfd", "mount",
    "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "setns", "unshare", "reboot", "swapon",
    "keyctl", "add_key", "request_key", "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid",
    "setgroups", "setfsuid", "setfsgid", "personality", "acct", "quotactl",
  ]
}
