/* SIEVE: one queue, and a hand that walks from its oldest entry to its newest and round again (Zhang, Yang, Yue,
 * Vigfusson and Rashmi, "SIEVE is Simpler than LRU", NSDI 2024). A hit marks its entry. The hand takes marks away; the
 * first entry without one is the victim. Entries never move, so that a hit needs no lock.
 *
 * A step over a mark is paid for by the hit that set it. A call takes STEPS_MOST of them and then names what it has
 * come to, marked or not: readers who set marks as fast as the hand takes them away must not hold it. */
#include "policy/evict.h"
#include "policy/queue.h"

#define STEPS_MOST 1024

struct state {
    const struct tc_cells *cells;
    struct tc_queue queue;
    uint32_t hand; /* what it looks at next; 0: the oldest */
    /* Where the entry stood that left last: a new value of its key takes that place, as if the old one were hit. */
    bool left, left_at_hand;
    uint32_t left_tag;
    uint32_t left_newer;
};

static void sieve_begin(void *state, const struct cache_evict_env *env)
{
    ((struct state *)state)->cells = env->entries;
}

static void sieve_insert(void *state, uint32_t entry, uint64_t hash, size_t bytes)
{
    struct state *s = state;
    struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    (void)bytes;
    n->tag = tc_hit_tag(hash);
    if (s->left && s->left_tag == n->tag) {
        tc_queue_put(s->cells, &s->queue, entry, s->left_newer);
        tc_hit_set(n, 1);
        if (s->left_at_hand)
            s->hand = entry;
    } else {
        tc_queue_put(s->cells, &s->queue, entry, 0);
    }
    s->left = false;
}

static void sieve_hit(void *state, uint32_t entry, void *node)
{
    (void)state;
    (void)entry;
    tc_hit_add(node, 1);
}

static void sieve_remove(void *state, uint32_t entry)
{
    struct state *s = state;
    const struct tc_hit_node *n = tc_hit_node(s->cells, entry);
    s->left = true;
    s->left_tag = n->tag;
    s->left_newer = n->link.newer;
    s->left_at_hand = s->hand == entry;
    if (s->left_at_hand)
        s->hand = n->link.newer;
    tc_queue_take(s->cells, &s->queue, entry);
}

static uint32_t sieve_victim(void *state)
{
    struct state *s = state;
    uint32_t entry = s->hand != 0 ? s->hand : s->queue.oldest;
    for (int steps = 0; entry != 0 && steps < STEPS_MOST; steps++) {
        struct tc_hit_node *n = tc_hit_node(s->cells, entry);
        if (tc_hit_count(n) == 0)
            break;
        tc_hit_set(n, 0);
        entry = n->link.newer != 0 ? n->link.newer : s->queue.oldest;
    }
    s->hand = entry;
    return entry;
}

static void sieve_move(void *state, uint32_t from, uint32_t to)
{
    struct state *s = state;
    tc_queue_move(s->cells, &s->queue, to);
    tc_rename_entry(&s->hand, from, to);
    tc_rename_entry(&s->left_newer, from, to);
}

const struct cache_evict_ops tc_evict_sieve = {
    .abi = CACHE_HOOKS_ABI,
    .flags = CACHE_EVICT_ENDS_FULL,
    .name = "sieve",
    .state_bytes = sizeof(struct state),
    .node_bytes = sizeof(struct tc_hit_node),
    .begin = sieve_begin,
    .insert = sieve_insert,
    .hit = sieve_hit,
    .remove = sieve_remove,
    .victim = sieve_victim,
    .move = sieve_move,
};
