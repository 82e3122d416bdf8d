/* Eviction orders: those that the library brings, one a file, and what it asks of others. The table is cache_evict_ops
 * of tiercache/hooks.h. */
#ifndef TC_POLICY_EVICT_H
#define TC_POLICY_EVICT_H

#include <stdbool.h>

#include "tiercache/hooks.h"

#define TC_EVICT_NODE_MAX 256
#define TC_EVICT_STATE_MAX 4096

extern const struct cache_evict_ops tc_evict_lru;       /* the default */
extern const struct cache_evict_ops tc_evict_lru_exact; /* "lru-exact" */
extern const struct cache_evict_ops tc_evict_sieve;     /* "sieve" */
extern const struct cache_evict_ops tc_evict_s3fifo;    /* "s3-fifo" */
extern const struct cache_evict_ops tc_evict_lfu;       /* "lfu" */
extern const struct cache_evict_ops tc_evict_wtinylfu;  /* "w-tinylfu" */

/* Why a table cannot be used; NULL: it can. */
const char *tc_evict_fault(const struct cache_evict_ops *e);

/* Both are told of a hit in the same way, by the same function if by one. */
bool tc_evict_hits_alike(const struct cache_evict_ops *a, const struct cache_evict_ops *b);

/* The table of that name; NULL: there is none. */
const struct cache_evict_ops *tc_evict_find(const char *name);

#endif
