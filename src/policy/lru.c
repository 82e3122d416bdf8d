/* The default eviction order: least recently used first, put in order only where it matters.
 *
 * A hit writes the present stamp into the entry, unless it is there already, and moves nothing
 * (CACHE_EVICT_STAMPED_HITS).
 * The order is a row of lists, one for each of the last stamps, oldest first. An entry lies where it was put; when it
 * comes up for eviction and carries a stamp it moves to the end of that stamp's list, where it would be had each hit
 * moved it, and the next one is looked at. So each move pays for at least one hit, and the victim is one of those used
 * longest ago, as far as stamps tell times apart: a step of some 64th of the entries. What that costs in hits is in
 * docs/decisions/012-recency-by-stamps.md. */
#include <stdatomic.h>
#include <stddef.h>

#include "policy/evict.h"

#define LISTS 64
#define STAMPS UINT8_MAX /* 1 to 255 */
#define MOVES 1024       /* of one call of victim(): after a time of hits alone all entries may carry stamps */

struct node {
    _Atomic uint8_t stamp; /* 0: not used since it was put where it is */
    struct node *newer, *older;
};

struct state {
    struct node ends[LISTS]; /* of circular lists: newer is the oldest entry, older the newest */
    uint64_t filled;         /* bit i: list i may not be empty */
    unsigned newest;         /* the list of the present stamp; the one after it is the oldest */
    uint8_t stamp;
};

_Static_assert(sizeof(struct node) <= TC_EVICT_NODE_MAX && sizeof(struct state) <= TC_EVICT_STATE_MAX, "within limits");

static void lru_begin(void *state, const struct cache_evict_env *env)
{
    (void)env;
    struct state *s = state;
    for (size_t i = 0; i < LISTS; i++)
        s->ends[i].newer = s->ends[i].older = &s->ends[i];
}

static void take_out(struct node *n)
{
    n->newer->older = n->older;
    n->older->newer = n->newer;
}

static void append(struct state *s, size_t list, struct node *n)
{
    struct node *end = &s->ends[list];
    atomic_store_explicit(&n->stamp, 0, memory_order_relaxed);
    n->newer = end;
    n->older = end->older;
    end->older->newer = n;
    end->older = n;
    s->filled |= UINT64_C(1) << list;
}

/* Puts all entries of one list before those of another. */
static void prepend_all(struct state *s, size_t from, size_t to)
{
    struct node *a = &s->ends[from], *b = &s->ends[to];
    if (a->newer == a)
        return;
    a->older->newer = b->newer;
    b->newer->older = a->older;
    b->newer = a->newer;
    a->newer->older = b;
    a->newer = a->older = a;
    s->filled |= UINT64_C(1) << to;
}

static void lru_tick(void *state, uint8_t stamp)
{
    struct state *s = state;
    s->stamp = stamp;
    s->newest = (s->newest + 1) % LISTS;
    prepend_all(s, s->newest, (s->newest + 1) % LISTS);
    s->filled &= ~(UINT64_C(1) << s->newest);
}

static void lru_insert(void *state, void *node, uint64_t hash, size_t bytes)
{
    (void)hash;
    (void)bytes;
    struct state *s = state;
    append(s, s->newest, node);
}

static void lru_remove(void *state, void *node)
{
    (void)state;
    take_out(node);
}

/* How many lists lie between the newest one and that of a stamp. */
static unsigned age_of(const struct state *s, uint8_t stamp)
{
    unsigned age = ((unsigned)s->stamp + STAMPS - stamp) % STAMPS;
    return age < LISTS - 1 ? age : LISTS - 1;
}

/* The oldest list that holds something, or LISTS. */
static size_t oldest_list(struct state *s)
{
    unsigned first = (s->newest + 1) % LISTS;
    while (s->filled != 0) {
        uint64_t turned = first > 0 ? s->filled >> first | s->filled << (LISTS - first) : s->filled;
        size_t list = (first + (unsigned)__builtin_ctzll(turned)) % LISTS;
        if (s->ends[list].newer != &s->ends[list])
            return list;
        s->filled &= ~(UINT64_C(1) << list);
    }
    return LISTS;
}

static void *lru_victim(void *state)
{
    struct state *s = state;
    for (unsigned moves = 0;; moves++) {
        size_t list = oldest_list(s);
        if (list == LISTS)
            return NULL;
        struct node *n = s->ends[list].newer;
        uint8_t stamp = atomic_load_explicit(&n->stamp, memory_order_relaxed);
        if (stamp == 0 || moves == MOVES)
            return n;
        take_out(n);
        append(s, (s->newest + LISTS - age_of(s, stamp)) % LISTS, n);
    }
}

const struct cache_evict_ops tc_evict_lru = {
    .abi = CACHE_HOOKS_ABI,
    .flags = CACHE_EVICT_STAMPED_HITS,
    .name = "lru",
    .state_bytes = sizeof(struct state),
    .node_bytes = sizeof(struct node),
    .begin = lru_begin,
    .insert = lru_insert,
    .remove = lru_remove,
    .victim = lru_victim,
    .tick = lru_tick,
};
