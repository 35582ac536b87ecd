// What the processor can be told that Swift has no word for. Headers only.
#ifndef TURNPIKE_CINTRINSICS_H
#define TURNPIKE_CINTRINSICS_H

// Fetches a cache line that will be read soon; any address is allowed, nothing waits for it.
static inline void cintrinsics_prefetch(const void *_Nonnull address) { __builtin_prefetch(address); }

#endif
