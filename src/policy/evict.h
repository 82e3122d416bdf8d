/* Eviction orders that the library brings; one a file. The table is cache_evict_ops of tiercache/hooks.h. */
#ifndef TC_POLICY_EVICT_H
#define TC_POLICY_EVICT_H

#include "tiercache/hooks.h"

#define TC_EVICT_NODE_MAX 256
#define TC_EVICT_STATE_MAX 4096

extern const struct cache_evict_ops tc_evict_lru;       /* the default */
extern const struct cache_evict_ops tc_evict_lru_exact; /* "lru-exact" */
extern const struct cache_evict_ops tc_evict_sieve;     /* "sieve" */
extern const struct cache_evict_ops tc_evict_s3fifo;    /* "s3-fifo" */
extern const struct cache_evict_ops tc_evict_lfu;       /* "lfu" */
extern const struct cache_evict_ops tc_evict_wtinylfu;  /* "w-tinylfu" */

/* The table of that name; NULL: there is none. */
const struct cache_evict_ops *tc_evict_find(const char *name);

#endif
