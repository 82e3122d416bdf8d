/* Eviction orders that the library brings; one a file. The table is cache_evict_ops of tiercache/hooks.h. */
#ifndef TC_POLICY_EVICT_H
#define TC_POLICY_EVICT_H

#include "tiercache/hooks.h"

#define TC_EVICT_NODE_MAX 256
#define TC_EVICT_STATE_MAX 4096

extern const struct cache_evict_ops tc_evict_lru;

#endif
