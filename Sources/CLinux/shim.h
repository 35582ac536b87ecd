// The kernel's and libc's headers as Swift sees them. Headers only: `static inline` helpers stand in for macros
// that the importer cannot read; there is no logic here.
#ifndef TURNPIKE_CLINUX_H
#define TURNPIKE_CLINUX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

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
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <linux/errqueue.h>
#include <linux/io_uring.h>

extern char **environ;

// SIG_IGN is a cast that the importer does not take.
static inline void clinux_ignore_broken_pipes(void) { signal(SIGPIPE, SIG_IGN); }

// SIG_DFL is another. Both may be called where a signal is handled.
static inline void clinux_die_of(int number) {
  signal(number, SIG_DFL);
  raise(number);
}
// What is ignored stays so: nohup(1), and a shell's jobs in the background, rely on it.
static inline int clinux_handle(int number, void (*handler)(int)) {
  struct sigaction action;
  if (sigaction(number, 0, &action) < 0) return -1;
  if (action.sa_handler == SIG_IGN) return 0;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  return sigaction(number, &action, 0);
}

// The resource argument is an enumeration in C and none in Swift.
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

// With _GNU_SOURCE glibc declares these over a transparent union that the importer does not take.
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
// What the kernel and we share is read and written in order.
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

// fcntl and open are variadic.
static inline int clinux_fcntl(int descriptor, int command, int argument) {
  return fcntl(descriptor, command, argument);
}
static inline int clinux_open(const char *path, int flags, unsigned int mode) { return open(path, flags, mode); }

#endif
