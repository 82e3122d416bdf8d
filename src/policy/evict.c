/* Eviction orders: by name, and whether one can be used. */
#include "policy/evict.h"

#include <string.h>

#define HITS (CACHE_EVICT_LOCKED_HITS | CACHE_EVICT_STAMPED_HITS) /* the flags that say how they are told */
#define KNOWN (HITS | CACHE_EVICT_LAST_IN | CACHE_EVICT_ENDS_FULL)
#define TEXT(number) TEXT_OF(number)
#define TEXT_OF(tokens) #tokens

static bool has_slots(const struct cache_evict_ops *e)
{
    bool stamped = e->flags & CACHE_EVICT_STAMPED_HITS;
    return e->name != NULL && e->insert != NULL && (e->hit != NULL || stamped) && (e->node_bytes > 0 || !stamped) &&
           e->remove != NULL && e->victim != NULL;
}

const char *tc_evict_fault(const struct cache_evict_ops *e)
{
    if (e->abi != CACHE_HOOKS_ABI || (e->flags & ~(uint32_t)KNOWN) != 0 || (e->flags & HITS) == HITS || !has_slots(e))
        return "unknown abi, unknown bits are set, or a required slot is missing";
    if (e->state_bytes > TC_EVICT_STATE_MAX)
        return "state_bytes: at most " TEXT(TC_EVICT_STATE_MAX);
    if (e->node_bytes > TC_EVICT_NODE_MAX)
        return "node_bytes: at most " TEXT(TC_EVICT_NODE_MAX);
    return NULL;
}

bool tc_evict_hits_alike(const struct cache_evict_ops *a, const struct cache_evict_ops *b)
{
    return (a->flags & HITS) == (b->flags & HITS) && ((a->flags & HITS) != 0 || a->hit == b->hit);
}

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
