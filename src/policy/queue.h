/* Queues of the eviction orders, doubly linked through the nodes from the newest to the oldest, and the node of those
 * policies whose hits take no lock. */
#ifndef TC_POLICY_QUEUE_H
#define TC_POLICY_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tc_link {
    struct tc_link *newer, *older;
};

struct tc_queue {
    struct tc_link *newest, *oldest;
};

/* Puts l next to newer, on its older side; NULL: l is the newest. */
static inline void tc_queue_put(struct tc_queue *q, struct tc_link *l, struct tc_link *newer)
{
    struct tc_link *older = newer != NULL ? newer->older : q->newest;
    l->newer = newer;
    l->older = older;
    if (newer != NULL)
        newer->older = l;
    else
        q->newest = l;
    if (older != NULL)
        older->newer = l;
    else
        q->oldest = l;
}

static inline void tc_queue_take(struct tc_queue *q, struct tc_link *l)
{
    if (l->newer != NULL)
        l->newer->older = l->older;
    else
        q->newest = l->older;
    if (l->older != NULL)
        l->older->newer = l->newer;
    else
        q->oldest = l->newer;
}

/* A node that notes its hits; the order looks at them when the entry comes up as a victim. Everything but hits belongs
 * to whoever has the lock. */
struct tc_hit_node {
    struct tc_link link; /* first: a link is its node */
    uint32_t tag;        /* of the key: tc_hit_tag() of its hash */
    uint32_t weight;     /* bytes, as far as they go */
    _Atomic uint8_t hits;
    uint8_t queue; /* which of the order's queues it stands in */
    uint8_t uses;  /* hits that the order has looked at */
};

static inline struct tc_hit_node *tc_hit_node(struct tc_link *l)
{
    return (struct tc_hit_node *)l;
}

/* Two keys that are cached at once share a tag once in some thousand millions. */
static inline uint32_t tc_hit_tag(uint64_t hash)
{
    return (uint32_t)(hash * UINT64_C(0x9E3779B97F4A7C15) >> 32);
}

static inline uint32_t tc_hit_weight(size_t bytes)
{
    return bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

static inline uint8_t tc_hit_count(const struct tc_hit_node *n)
{
    return atomic_load_explicit(&n->hits, memory_order_relaxed);
}

static inline void tc_hit_set(struct tc_hit_node *n, uint8_t hits)
{
    atomic_store_explicit(&n->hits, hits, memory_order_relaxed);
}

/* Notes a hit, up to most of them; what is full is only read. Hits of several threads at once may count as one. */
static inline void tc_hit_add(struct tc_hit_node *n, uint8_t most)
{
    uint8_t hits = tc_hit_count(n);
    if (hits < most)
        tc_hit_set(n, (uint8_t)(hits + 1));
}

#endif
