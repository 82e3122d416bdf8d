/* Queues of the eviction orders, doubly linked through the nodes from the newest to the oldest, and the node of those
 * policies whose hits take no lock. Entries are named by their numbers, as in cache_evict_ops; 0 is none. */
#ifndef TC_POLICY_QUEUE_H
#define TC_POLICY_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cells.h"

struct tc_link {
    uint32_t newer, older;
};

struct tc_queue {
    uint32_t newest, oldest;
};

/* Of the entry's node, which begins with it. */
static inline struct tc_link *tc_link(const struct tc_cells *c, uint32_t entry)
{
    return tc_cell(c, entry);
}

/* Sets what names the entry on its newer side, and on its older side: its neighbours, or the queue where it ends. */
static inline void tc_queue_name(const struct tc_cells *c, struct tc_queue *q, const struct tc_link *l,
                                 uint32_t to_newer, uint32_t to_older)
{
    *(l->newer != 0 ? &tc_link(c, l->newer)->older : &q->newest) = to_newer;
    *(l->older != 0 ? &tc_link(c, l->older)->newer : &q->oldest) = to_older;
}

/* Puts the entry next to newer, on its older side; 0: it is the newest. */
static inline void tc_queue_put(const struct tc_cells *c, struct tc_queue *q, uint32_t entry, uint32_t newer)
{
    struct tc_link *l = tc_link(c, entry);
    l->newer = newer;
    l->older = newer != 0 ? tc_link(c, newer)->older : q->newest;
    tc_queue_name(c, q, l, entry, entry);
}

static inline void tc_queue_take(const struct tc_cells *c, struct tc_queue *q, uint32_t entry)
{
    const struct tc_link *l = tc_link(c, entry);
    tc_queue_name(c, q, l, l->older, l->newer);
}

/* The entry that has this number now stands where it stood. */
static inline void tc_queue_move(const struct tc_cells *c, struct tc_queue *q, uint32_t to)
{
    tc_queue_name(c, q, tc_link(c, to), to, to);
}

/* An entry has another number: in what may name it. */
static inline void tc_rename_entry(uint32_t *name, uint32_t from, uint32_t to)
{
    if (*name == from)
        *name = to;
}

/* A node that notes its hits; the order looks at them when the entry comes up as a victim. Everything but hits belongs
 * to whoever has the lock. */
struct tc_hit_node {
    struct tc_link link; /* first: see tc_link() */
    uint32_t tag;        /* of the key: tc_hit_tag() of its hash */
    uint32_t weight;     /* bytes, as far as they go */
    _Atomic uint8_t hits;
    uint8_t queue; /* which of the order's queues it stands in */
    uint8_t uses;  /* hits that the order has looked at */
};

static inline struct tc_hit_node *tc_hit_node(const struct tc_cells *c, uint32_t entry)
{
    return tc_cell(c, entry);
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
