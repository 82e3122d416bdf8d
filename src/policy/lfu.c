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
    struct tc_queue queues[RANKS]; /* rank r is in queue r % RANKS */
    uint32_t occupied;             /* a bit for each queue */
    uint32_t level;                /* of the last victim: its queue */
    const struct tc_hit_node *named; /* the victim that was named last, if it is still there */
    /* The entry that left last, not as a victim: a new value of its key has its uses, and one more. */
    bool left;
    uint8_t left_uses;
    uint32_t left_tag;
};

static uint8_t capped(unsigned uses)
{
    return (uint8_t)(uses < HITS_MOST ? uses : HITS_MOST);
}

static void enter(struct state *s, struct tc_hit_node *n, unsigned uses)
{
    n->uses = capped(uses);
    n->queue = (uint8_t)((s->level + n->uses) % RANKS);
    s->occupied |= UINT32_C(1) << n->queue;
    tc_queue_put(&s->queues[n->queue], &n->link, NULL);
}

static void leave(struct state *s, struct tc_hit_node *n)
{
    tc_queue_take(&s->queues[n->queue], &n->link);
    if (s->queues[n->queue].oldest == NULL)
        s->occupied &= ~(UINT32_C(1) << n->queue);
}

static void lfu_insert(void *state, void *node, uint64_t hash, size_t bytes)
{
    struct state *s = state;
    struct tc_hit_node *n = node;
    (void)bytes;
    n->tag = tc_hit_tag(hash);
    enter(s, n, s->left && s->left_tag == n->tag ? s->left_uses + 1u : 1);
    s->left = false;
    s->named = NULL; /* it may rank above the newcomer */
}

static void lfu_hit(void *state, void *node)
{
    (void)state;
    tc_hit_add(node, HITS_MOST);
}

static void lfu_remove(void *state, void *node)
{
    struct state *s = state;
    struct tc_hit_node *n = node;
    s->left = n != s->named;
    s->left_uses = capped(n->uses + tc_hit_count(n));
    s->left_tag = n->tag;
    if (n == s->named)
        s->level = n->queue;
    s->named = NULL;
    leave(s, n);
}

/* The lowest rank's queue; there is an entry. */
static struct tc_queue *lowest(struct state *s)
{
    uint32_t above = s->occupied >> s->level;
    uint32_t from = above != 0 ? s->level : 0;
    return &s->queues[from + (uint32_t)__builtin_ctz(above != 0 ? above : s->occupied)];
}

static void *lfu_victim(void *state)
{
    struct state *s = state;
    if (s->occupied == 0)
        return NULL;
    struct tc_hit_node *n = tc_hit_node(lowest(s)->oldest);
    for (int steps = 0; tc_hit_count(n) > 0 && steps < STEPS_MOST; steps++) {
        unsigned uses = n->uses + tc_hit_count(n);
        tc_hit_set(n, 0);
        leave(s, n);
        enter(s, n, uses);
        n = tc_hit_node(lowest(s)->oldest);
    }
    s->named = n;
    return n;
}

const struct cache_evict_ops tc_evict_lfu = {
    .abi = CACHE_HOOKS_ABI,
    .name = "lfu",
    .state_bytes = sizeof(struct state),
    .node_bytes = sizeof(struct tc_hit_node),
    .insert = lfu_insert,
    .hit = lfu_hit,
    .remove = lfu_remove,
    .victim = lfu_victim,
};
