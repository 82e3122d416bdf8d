/* The eviction orders by name. */
#include "policy/evict.h"

#include <string.h>

const struct cache_evict_ops *tc_evict_find(const char *name)
{
    static const struct cache_evict_ops *const all[] = {
        &tc_evict_lru, &tc_evict_lru_exact, &tc_evict_sieve, &tc_evict_s3fifo, &tc_evict_lfu, &tc_evict_wtinylfu,
    };
    for (size_t i = 0; name != NULL && i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
