/* Least frequently used first, with dynamic aging: an entry ranks by its uses plus the rank of the last victim at the
 * time when it was ranked (LFU-DA; Arlitt, Cherkasova, Dilley, Friedrich and Jin, "Evaluating Content Management
 * Techniques for Web Proxy Caches", 2000). What was used much long ago is overtaken by what is used now, with nothing
 * to be halved and no period to be chosen, and newcomers never rank so low that they only push each other out.
 *
 * Uses are counted up to RANKS - 1, so that ranks lie in a window of RANKS above the last victim's and every operation
 * is O(1): a ring of queues, one a rank, and a bit for each that has entries. Hits take no lock: they are noted in the
 * node, and the entry is ranked anew when it comes up as a victim. Each such step is paid for by a hit; a call takes
 * STEPS_MOST of them and then names what it has come to. */
#include "policy/evict.h"
#include "policy/queue.h"

#define RANKS 16
#define HITS_MOST (RANKS - 1)
#define STEPS_MOST 128

struct state {
    const struct tc_cells *cells;
    struct tc_queue queues[RANKS]; /* rank r is in queue r % RANKS */
    uint32_t occupied;             /* a bit for each queue */
    uint32_t level;                /* of the last victim: its queue */
    uint32_t named;                /* the victim that was named last, if it is still there */
    /* The entry that left last, not as a victim: a new value of its key has its uses, and one more. */
    bool left;
    uint8_t left_uses;
    uint32_t left_tag;
};

static uint8_t capped(unsigned uses)
{
    return (uint8_t)(uses < HITS_MOST ? uses : HITS_MOST);
}

static void enter(struct state *s, uint32_t entry, unsigned uses)
{
    struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    n->uses = capped(uses);
    n->queue = (uint8_t)((s->level + n->uses) % RANKS);
    s->occupied |= UINT32_C(1) << n->queue;
    tc_queue_put(s->cells, &s->queues[n->queue], entry, 0);
}

static void leave(struct state *s, uint32_t entry)
{
    const struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    tc_queue_take(s->cells, &s->queues[n->queue], entry);
    if (s->queues[n->queue].oldest == 0)
        s->occupied &= ~(UINT32_C(1) << n->queue);
}

static void lfu_begin(void *state, const struct cache_evict_env *env)
{
    ((struct state *)state)->cells = env->entries;
}

static void lfu_insert(void *state, uint32_t entry, uint64_t hash, size_t bytes)
{
    struct state *s = state;
    struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    (void)bytes;
    n->tag = tc_hit_tag(hash);
    enter(s, entry, s->left && s->left_tag == n->tag ? s->left_uses + 1u : 1);
    s->left = false;
    s->named = 0; /* it may rank above the newcomer */
}

static void lfu_hit(void *state, uint32_t entry, void *node)
{
    (void)state;
    (void)entry;
    tc_hit_add(node, HITS_MOST);
}

static void lfu_remove(void *state, uint32_t entry)
{
    struct state *s = state;
    const struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    s->left = entry != s->named;
    s->left_uses = capped(n->uses + tc_hit_count(n));
    s->left_tag = n->tag;
    if (entry == s->named)
        s->level = n->queue;
    s->named = 0;
    leave(s, entry);
}

/* The oldest entry of the lowest rank; there is an entry. */
static uint32_t lowest(const struct state *s)
{
    uint32_t above = s->occupied >> s->level;
    uint32_t from = above != 0 ? s->level : 0;
    return s->queues[from + (uint32_t)__builtin_ctz(above != 0 ? above : s->occupied)].oldest;
}

static uint32_t lfu_victim(void *state)
{
    struct state *s = state;
    if (s->occupied == 0)
        return 0;
    uint32_t entry = lowest(s);
    for (int steps = 0; steps < STEPS_MOST; steps++) {
        struct tc_hit_node *n = tc_hit_node(s->cells, entry);
        uint8_t hits = tc_hit_count(n);
        if (hits == 0)
            break;
        tc_hit_set(n, 0);
        leave(s, entry);
        enter(s, entry, (unsigned)n->uses + hits);
        entry = lowest(s);
    }
    s->named = entry;
    return entry;
}

static void lfu_move(void *state, uint32_t from, uint32_t to)
{
    struct state *s = state;
    tc_queue_move(s->cells, &s->queues[tc_hit_node(s->cells, to)->queue], to);
    tc_rename_entry(&s->named, from, to);
}

const struct cache_evict_ops tc_evict_lfu = {
    .abi = CACHE_HOOKS_ABI,
    .flags = CACHE_EVICT_ENDS_FULL,
    .name = "lfu",
    .state_bytes = sizeof(struct state),
    .node_bytes = sizeof(struct tc_hit_node),
    .begin = lfu_begin,
    .insert = lfu_insert,
    .hit = lfu_hit,
    .remove = lfu_remove,
    .victim = lfu_victim,
    .move = lfu_move,
};
