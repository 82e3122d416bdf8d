/* Least recently used first, exactly: every hit moves its entry to the front, and waits for the lock to do so. The
 * order that others are measured against; the default (lru.c) comes close to it at a lower price for each hit. */
#include "policy/evict.h"
#include "policy/queue.h"

struct state {
    const struct tc_cells *cells;
    struct tc_queue queue;
};

static void lru_exact_begin(void *state, const struct cache_evict_env *env)
{
    ((struct state *)state)->cells = env->entries;
}

static void lru_exact_insert(void *state, uint32_t entry, uint64_t hash, size_t bytes)
{
    struct state *s = state;
    (void)hash;
    (void)bytes;
    tc_queue_put(s->cells, &s->queue, entry, 0);
}

static void lru_exact_hit(void *state, uint32_t entry, void *node)
{
    struct state *s = state;
    (void)node;
    tc_queue_take(s->cells, &s->queue, entry);
    tc_queue_put(s->cells, &s->queue, entry, 0);
}

static void lru_exact_remove(void *state, uint32_t entry)
{
    struct state *s = state;
    tc_queue_take(s->cells, &s->queue, entry);
}

static uint32_t lru_exact_victim(void *state)
{
    return ((const struct state *)state)->queue.oldest;
}

static void lru_exact_move(void *state, uint32_t from, uint32_t to)
{
    struct state *s = state;
    (void)from;
    tc_queue_move(s->cells, &s->queue, to);
}

const struct cache_evict_ops tc_evict_lru_exact = {
    .abi = CACHE_HOOKS_ABI,
    .flags = CACHE_EVICT_LOCKED_HITS | CACHE_EVICT_ENDS_FULL,
    .name = "lru-exact",
    .state_bytes = sizeof(struct state),
    .node_bytes = sizeof(struct tc_link),
    .begin = lru_exact_begin,
    .insert = lru_exact_insert,
    .hit = lru_exact_hit,
    .remove = lru_exact_remove,
    .victim = lru_exact_victim,
    .move = lru_exact_move,
};
