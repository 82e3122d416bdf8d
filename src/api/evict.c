/* Eviction policies by name. */
#include "policy/evict.h"

const struct cache_evict_ops *cache_evict_policy(const char *name)
{
    return tc_evict_find(name);
}
