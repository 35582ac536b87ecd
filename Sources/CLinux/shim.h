// The kernel's and libc's headers for Swift. Headers only: `static inline` helpers replace macros that the importer
// cannot read; there is no logic here.
#ifndef TURNPIKE_CLINUX_H
#define TURNPIKE_CLINUX_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <malloc.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <linux/errqueue.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

extern char **environ;

// glibc declares CLONE_PARENT only with _GNU_SOURCE.
#define CLINUX_CLONE_PARENT 0x00008000

// Declarations that glibc has only with _GNU_SOURCE. If only this module defined _GNU_SOURCE, its fd_set would differ
// from Swift's module of glibc, and the build would fail where both are loaded. If every module defined it, every
// package that depends on this one would need the compiler flag too.
#ifndef __USE_GNU
struct mmsghdr {
  struct msghdr msg_hdr;
  unsigned int msg_len;
};
struct in6_pktinfo {
  struct in6_addr ipi6_addr;
  unsigned int ipi6_ifindex;
};
#define EAI_NODATA -5
#define EAI_ADDRFAMILY -9
extern int accept4(int descriptor, struct sockaddr *name, socklen_t *length, int flags);
extern int recvmmsg(
    int descriptor, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout);
extern int sendmmsg(int descriptor, struct mmsghdr *messages, unsigned int count, int flags);
extern int pthread_setname_np(pthread_t thread, const char *name);
extern int pthread_timedjoin_np(pthread_t thread, void **value, const struct timespec *deadline);
extern int sched_getaffinity(pid_t process, size_t size, cpu_set_t *cores);
extern int sched_setaffinity(pid_t process, size_t size, const cpu_set_t *cores);
// For the tests.
#define CLONE_NEWNET 0x40000000
extern int unshare(int flags);
extern int setns(int descriptor, int kind);
extern int mkostemp(char *name, int flags);
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
#endif

// SIG_IGN is a cast that the importer cannot read.
static inline void clinux_ignore_broken_pipes(void) { signal(SIGPIPE, SIG_IGN); }

// Ignores signals that would end the process although nothing uses them: a write to a closed pipe or beyond the file
// size limit returns an error instead; log rotation and process managers send SIGUSR1 and others to any program.
static inline void clinux_ignore_unused_signals(void) {
  static const int unused[] = {SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGPOLL, SIGPWR, SIGSTKFLT};
  for (size_t index = 0; index < sizeof unused / sizeof unused[0]; index++) signal(unused[index], SIG_IGN);
  // glibc reserves the lowest real-time signals; SIGRTMIN is the first free one.
  for (int number = SIGRTMIN; number <= SIGRTMAX; number++) signal(number, SIG_IGN);
}

// SIG_DFL is a cast too. A signal handler may call signal and raise.
static inline void clinux_die_of(int number) {
  signal(number, SIG_DFL);
  raise(number);
}
// An ignored signal stays ignored: nohup(1) and background jobs of a shell rely on it.
static inline int clinux_handle(int number, void (*handler)(int)) {
  struct sigaction action;
  if (sigaction(number, 0, &action) < 0) return -1;
  if (action.sa_handler == SIG_IGN) return 0;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  return sigaction(number, &action, 0);
}

// On Linux each thread has its own nice value. SCHED_IDLE is not declared without _GNU_SOURCE.
static inline int clinux_lower_priority(void) {
  return setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
}

// The resource argument is an enumeration in C, which Swift does not import.
static inline int clinux_get_file_limit(struct rlimit *limit) { return getrlimit(RLIMIT_NOFILE, limit); }
static inline int clinux_set_file_limit(const struct rlimit *limit) { return setrlimit(RLIMIT_NOFILE, limit); }

static inline int clinux_errno(void) { return errno; }
static inline char **clinux_environ(void) { return environ; }

// CMSG_* are macros over pointer arithmetic.
static inline struct cmsghdr *clinux_cmsg_first(const struct msghdr *message) { return CMSG_FIRSTHDR(message); }
static inline struct cmsghdr *clinux_cmsg_next(struct msghdr *message, struct cmsghdr *control) {
  return CMSG_NXTHDR(message, control);
}
static inline void *_Nonnull clinux_cmsg_data(struct cmsghdr *_Nonnull control) { return CMSG_DATA(control); }
static inline size_t clinux_cmsg_len(size_t count) { return CMSG_LEN(count); }
static inline size_t clinux_cmsg_space(size_t count) { return CMSG_SPACE(count); }

// With _GNU_SOURCE glibc declares these with a transparent union, which the importer cannot read.
static inline int clinux_bind(int descriptor, const struct sockaddr *name, socklen_t length) {
  return bind(descriptor, name, length);
}
static inline int clinux_connect(int descriptor, const struct sockaddr *name, socklen_t length) {
  return connect(descriptor, name, length);
}
static inline ssize_t clinux_sendto(
    int descriptor, const void *bytes, size_t count, int flags, const struct sockaddr *name, socklen_t length) {
  return sendto(descriptor, bytes, count, flags, name, length);
}
static inline int clinux_getsockname(int descriptor, struct sockaddr *name, socklen_t *length) {
  return getsockname(descriptor, name, length);
}
static inline int clinux_accept4(int descriptor, struct sockaddr *name, socklen_t *length, int flags) {
  return accept4(descriptor, name, length, flags);
}

// The three system calls of io_uring, which libc does not wrap; syscall is variadic.
static inline int clinux_io_uring_setup(unsigned int entries, struct io_uring_params *parameters) {
  return (int)syscall(__NR_io_uring_setup, entries, parameters);
}
static inline int clinux_io_uring_enter(
    int ring, unsigned int submit, unsigned int complete, unsigned int flags, const void *argument, size_t size) {
  return (int)syscall(__NR_io_uring_enter, ring, submit, complete, flags, argument, size);
}
static inline int clinux_io_uring_register(int ring, unsigned int operation, const void *argument, unsigned int count) {
  return (int)syscall(__NR_io_uring_register, ring, operation, argument, count);
}
// Ordered access to memory shared with the kernel.
static inline unsigned int clinux_load_acquire(const unsigned int *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }
static inline void clinux_store_release(unsigned int *word, unsigned int value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}
static inline void clinux_store_release16(unsigned short *word, unsigned short value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}
// MAP_FAILED is a cast.
static inline void *_Nullable clinux_map(size_t size, int flags, int descriptor, off_t offset) {
  void *memory = mmap(0, size, PROT_READ | PROT_WRITE, flags, descriptor, offset);
  return memory == MAP_FAILED ? 0 : memory;
}

// The importer hides fork. The child of a process with one thread may call every function.
static inline pid_t clinux_fork(void) { return fork(); }
// A child of the caller's parent, so that the caller need not wait for it.
static inline pid_t clinux_fork_sibling(void) {
  return (pid_t)syscall(SYS_clone, CLINUX_CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}
// A grandchild whose parent has ended, so that the nearest service manager (or process 1) has become its parent.
static inline pid_t clinux_fork_orphan(void) {
  int ends[2];
  pid_t grandchild = -1;
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  pid_t child = fork();
  if (child == 0) {
    grandchild = fork();
    if (grandchild == 0) {
      close(ends[0]);
      close(ends[1]);
      return 0;
    }
    _exit(write(ends[1], &grandchild, sizeof grandchild) < 0);
  }
  close(ends[1]);
  if (child > 0) {
    if (read(ends[0], &grandchild, sizeof grandchild) != (ssize_t)sizeof grandchild) grandchild = -1;
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
  }
  close(ends[0]);
  return grandchild;
}
// The kernel kills this process when the thread that has forked it ends.
static inline int clinux_end_with_parent(void) { return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); }
// Other processes of the same user cannot read this one's memory and environment.
static inline int clinux_hide(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }
// The kernel removes ended children itself; wait(2) does not report them.
static inline void clinux_forget_children(void) { signal(SIGCHLD, SIG_IGN); }
static inline void clinux_default_children(void) { signal(SIGCHLD, SIG_DFL); }

// fcntl and open are variadic.
static inline int clinux_fcntl(int descriptor, int command, int argument) {
  return fcntl(descriptor, command, argument);
}
static inline int clinux_open(const char *path, int flags, unsigned int mode) { return open(path, flags, mode); }

#endif
