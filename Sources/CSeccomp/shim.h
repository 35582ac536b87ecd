// libseccomp, and the system calls by which a thread drops privileges. Headers only: `static inline` helpers replace
// variadic functions and macros, which the importer cannot read.
#ifndef TURNPIKE_CSECCOMP_H
#define TURNPIKE_CSECCOMP_H

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int cseccomp_errno(void) { return errno; }

static inline int cseccomp_prctl(int option, unsigned long argument, unsigned long second) {
  return prctl(option, argument, second, 0, 0);
}
// The resource is an enumeration in C, which Swift does not import.
static inline int cseccomp_forbid_core_files(void) {
  struct rlimit none = {0, 0};
  return setrlimit(RLIMIT_CORE, &none);
}

// capget and capset of the calling thread; glibc has no declaration of them.
static inline int cseccomp_capabilities(struct __user_cap_data_struct data[_Nonnull 2]) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  return (int)syscall(SYS_capget, &header, data);
}
static inline int cseccomp_set_capabilities(const struct __user_cap_data_struct data[_Nonnull 2]) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  return (int)syscall(SYS_capset, &header, data);
}

static inline int cseccomp_landlock_version(void) {
  return (int)syscall(SYS_landlock_create_ruleset, 0, 0, LANDLOCK_CREATE_RULESET_VERSION);
}
static inline int cseccomp_landlock_create(unsigned long long rights) {
  struct landlock_ruleset_attr attributes = {.handled_access_fs = rights};
  // The size of the first version: later members are not used.
  return (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(unsigned long long), 0);
}
static inline int cseccomp_landlock_allow(int ruleset, int file, unsigned long long rights) {
  struct landlock_path_beneath_attr attributes = {.allowed_access = rights, .parent_fd = file};
  return (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attributes, 0);
}
static inline int cseccomp_landlock_restrict(int ruleset) {
  return (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
}
// O_PATH, which glibc declares only with _GNU_SOURCE; open is variadic.
static inline int cseccomp_open_path(const char *_Nonnull path) { return open(path, 010000000 | O_CLOEXEC); }

// SCMP_ACT_ERRNO is a macro with a cast, which the importer cannot read.
#define CSECCOMP_ENOSYS SCMP_ACT_ERRNO(ENOSYS)
static const unsigned int cseccomp_refuse = CSECCOMP_ENOSYS;
static const unsigned int cseccomp_allow = SCMP_ACT_ALLOW;
static const unsigned int cseccomp_kill = SCMP_ACT_KILL_PROCESS;
// clone(2) for a thread of this process only. clone3(2), whose flags a filter cannot see, stays refused: libcs then call
// clone(2).
static inline int cseccomp_allow_threads(scmp_filter_ctx _Nonnull filter) {
  const unsigned long clone_thread = 0x00010000;
  struct scmp_arg_cmp flags = {0, SCMP_CMP_MASKED_EQ, clone_thread, clone_thread};
  return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, &flags);
}
static inline int cseccomp_add(scmp_filter_ctx _Nonnull filter, unsigned int action, int number) {
  return seccomp_rule_add(filter, action, number, 0);
}

#endif
