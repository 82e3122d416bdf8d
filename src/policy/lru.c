/* The default eviction order: least recently used first.
 *
 * The order itself is exact for what it is told. CACHE_EVICT_LAZY_HITS lets L1 keep the hits of entries that are near
 * the front anyway to itself: moving an entry dirties the cache lines of three, and the front quarter of an order need
 * not be sorted to know its end. What that costs in hits is in docs/decisions/011-lazy-promotion.md. */
#include "policy/evict.h"

struct node {
    struct node *newer, *older;
};

struct state {
    struct node *newest, *oldest;
};

_Static_assert(sizeof(struct node) <= TC_EVICT_NODE_MAX && sizeof(struct state) <= TC_EVICT_STATE_MAX, "within limits");

static void push_front(struct state *s, struct node *n)
{
    n->newer = NULL;
    n->older = s->newest;
    if (s->newest != NULL)
        s->newest->newer = n;
    else
        s->oldest = n;
    s->newest = n;
}

static void take_out(struct state *s, struct node *n)
{
    if (n->newer != NULL)
        n->newer->older = n->older;
    else
        s->newest = n->older;
    if (n->older != NULL)
        n->older->newer = n->newer;
    else
        s->oldest = n->newer;
}

static void lru_insert(void *state, void *node, uint64_t hash, size_t bytes)
{
    (void)hash;
    (void)bytes;
    push_front(state, node);
}

static void lru_hit(void *state, void *node)
{
    take_out(state, node);
    push_front(state, node);
}

static void lru_remove(void *state, void *node)
{
    take_out(state, node);
}

static void *lru_victim(void *state)
{
    return ((struct state *)state)->oldest;
}

const struct cache_evict_ops tc_evict_lru = {
    CACHE_HOOKS_ABI,
    CACHE_EVICT_LOCKED_HITS | CACHE_EVICT_LAZY_HITS,
    "lru",
    sizeof(struct state),
    sizeof(struct node),
    lru_insert,
    lru_hit,
    lru_remove,
    lru_victim,
};
