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
    struct tc_queue queue;
    struct tc_link *hand; /* what it looks at next; NULL: the oldest */
    /* Where the entry stood that left last: a new value of its key takes that place, as if the old one were hit. */
    bool left, left_at_hand;
    uint32_t left_tag;
    struct tc_link *left_newer;
};

static void sieve_insert(void *state, void *node, uint64_t hash, size_t bytes)
{
    struct state *s = state;
    struct tc_hit_node *n = node;
    (void)bytes;
    n->tag = tc_hit_tag(hash);
    if (s->left && s->left_tag == n->tag) {
        tc_queue_put(&s->queue, &n->link, s->left_newer);
        tc_hit_set(n, 1);
        if (s->left_at_hand)
            s->hand = &n->link;
    } else {
        tc_queue_put(&s->queue, &n->link, NULL);
    }
    s->left = false;
}

static void sieve_hit(void *state, void *node)
{
    (void)state;
    tc_hit_add(node, 1);
}

static void sieve_remove(void *state, void *node)
{
    struct state *s = state;
    struct tc_hit_node *n = node;
    s->left = true;
    s->left_tag = n->tag;
    s->left_newer = n->link.newer;
    s->left_at_hand = s->hand == &n->link;
    if (s->left_at_hand)
        s->hand = n->link.newer;
    tc_queue_take(&s->queue, &n->link);
}

static void *sieve_victim(void *state)
{
    struct state *s = state;
    struct tc_link *l = s->hand != NULL ? s->hand : s->queue.oldest;
    for (int steps = 0; l != NULL && tc_hit_count(tc_hit_node(l)) > 0 && steps < STEPS_MOST; steps++) {
        tc_hit_set(tc_hit_node(l), 0);
        l = l->newer != NULL ? l->newer : s->queue.oldest;
    }
    s->hand = l;
    return l;
}

const struct cache_evict_ops tc_evict_sieve = {
    .abi = CACHE_HOOKS_ABI,
    .name = "sieve",
    .state_bytes = sizeof(struct state),
    .node_bytes = sizeof(struct tc_hit_node),
    .insert = sieve_insert,
    .hit = sieve_hit,
    .remove = sieve_remove,
    .victim = sieve_victim,
};
