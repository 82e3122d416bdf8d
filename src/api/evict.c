/* What eviction policies are given by the library: those it brings, by name, and the nodes of entries. */
#include "base/cells.h"
#include "policy/evict.h"

const struct cache_evict_ops *cache_evict_policy(const char *name)
{
    return tc_evict_find(name);
}

void *cache_evict_node(const struct cache_evict_env *env, uint32_t entry)
{
    return tc_cell(env->entries, entry);
}
