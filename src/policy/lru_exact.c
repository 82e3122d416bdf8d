/* Least recently used first, exactly: every hit moves its entry to the front, and waits for the lock to do so. The
 * order that others are measured against; the default (lru.c) comes close to it at a lower price for each hit. */
#include "policy/evict.h"
#include "policy/queue.h"

static void lru_exact_insert(void *state, void *node, uint64_t hash, size_t bytes)
{
    (void)hash;
    (void)bytes;
    tc_queue_put(state, node, NULL);
}

static void lru_exact_hit(void *state, void *node)
{
    tc_queue_take(state, node);
    tc_queue_put(state, node, NULL);
}

static void lru_exact_remove(void *state, void *node)
{
    tc_queue_take(state, node);
}

static void *lru_exact_victim(void *state)
{
    return ((struct tc_queue *)state)->oldest;
}

const struct cache_evict_ops tc_evict_lru_exact = {
    .abi = CACHE_HOOKS_ABI,
    .flags = CACHE_EVICT_LOCKED_HITS,
    .name = "lru-exact",
    .state_bytes = sizeof(struct tc_queue),
    .node_bytes = sizeof(struct tc_link),
    .insert = lru_exact_insert,
    .hit = lru_exact_hit,
    .remove = lru_exact_remove,
    .victim = lru_exact_victim,
};
