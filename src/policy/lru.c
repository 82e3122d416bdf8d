/* The default eviction order: least recently used first, with lazy promotion.
 *
 * An exact LRU moves an entry to the front at every hit and so dirties three entries' cache lines each time. Here an
 * entry that was put in front lately stays where it is: "lately" means within the newest eighth of the order, counted
 * in moves. An eighth of the order is thus unsorted, the rest exact, and hot entries are read without being written. */
#include "policy/evict.h"

struct node {
    struct node *newer, *older;
    uint64_t moved_at; /* state's moves when it was last put in front */
};

struct state {
    struct node *newest, *oldest;
    uint64_t moves, count;
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
    n->moved_at = ++s->moves;
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
    struct state *s = state;
    push_front(s, node);
    s->count++;
}

static void lru_hit(void *state, void *node)
{
    struct state *s = state;
    struct node *n = node;
    if (s->moves - n->moved_at <= s->count / 8)
        return;
    take_out(s, n);
    push_front(s, n);
}

static void lru_remove(void *state, void *node)
{
    struct state *s = state;
    take_out(s, node);
    s->count--;
}

static void *lru_victim(void *state)
{
    return ((struct state *)state)->oldest;
}

const struct cache_evict_ops tc_evict_lru = {
    CACHE_HOOKS_ABI, CACHE_EVICT_LOCKED_HITS, "lru",      sizeof(struct state), sizeof(struct node),
    lru_insert,      lru_hit,                 lru_remove, lru_victim,
};
