#ifndef TURNPIKE_CCARES_H
#define TURNPIKE_CCARES_H

// Newer versions deprecate the functions that all versions have.
#define CARES_NO_DEPRECATED 1

#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <ares.h>

// These are macros in older versions and members of an enumeration in newer ones.
static inline int ccares_success(void) { return ARES_SUCCESS; }
static inline int ccares_not_found(void) { return ARES_ENOTFOUND; }
static inline int ccares_no_data(void) { return ARES_ENODATA; }
static inline int ccares_timeout(void) { return ARES_ETIMEOUT; }
static inline int ccares_refused(void) { return ARES_ECONNREFUSED; }
static inline int ccares_cancelled(void) { return ARES_ECANCELLED; }
static inline int ccares_no_socket(void) { return ARES_SOCKET_BAD; }

#endif
