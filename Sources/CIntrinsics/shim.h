// Processor intrinsics that Swift does not have. Headers only.
#ifndef TURNPIKE_CINTRINSICS_H
#define TURNPIKE_CINTRINSICS_H

// Prefetches a cache line that will be read soon, without waiting; any address is allowed.
static inline void cintrinsics_prefetch(const void *_Nonnull address) { __builtin_prefetch(address); }

#endif
