/* An eviction order without L1: nodes by index, each in memory of its own, and what the order allocates from an
 * allocator that counts and can be told to fail. */
#ifndef TT_EVICT_H
#define TT_EVICT_H

#include "base/slab.h"
#include "fake/tt_alloc.h"
#include "policy/evict.h"

#define TT_EVICT_BYTES 100 /* of an entry, unless said otherwise */
#define TT_EVICT_NONE SIZE_MAX

struct tt_evict {
    const struct cache_evict_ops *ops;
    struct tt_alloc alloc;
    struct cache_evict_env env;
    void *state;
    struct tt_evict_cells *cells; /* where the nodes lie */
    bool *in;                     /* which of them are inserted */
    size_t n_nodes, count;
    uint8_t stamp; /* that hits set now, where they are stamped */
};

/* What an order allocates, from a. No entries. */
struct cache_evict_env tt_evict_env(struct tt_alloc *a);

/* Nodes 0 to n_nodes - 1, none inserted. */
struct tt_evict *tt_evict_open(const struct cache_evict_ops *ops, size_t n_nodes);
/* Takes out what is left. False: memory was not given back, or more, or the wrong size. */
bool tt_evict_close(struct tt_evict *e);

uint64_t tt_evict_hash(size_t i); /* of node i's key: spread as a hash function does it */

void *tt_evict_node(struct tt_evict *e, size_t i);
uint32_t tt_evict_entry(struct tt_evict *e, size_t i); /* its number; only tt_evict_move() changes it */
void tt_evict_insert(struct tt_evict *e, size_t i, size_t bytes); /* not inserted; its node is zeroed before */
void tt_evict_hit(struct tt_evict *e, size_t i);
void tt_evict_remove(struct tt_evict *e, size_t i);
/* To another place, under another number, inserted or not. The former ones are nobody's then: what an order still reads
 * there is nonsense, and the number may be the next one's that moves. */
void tt_evict_move(struct tt_evict *e, size_t i);
void tt_evict_tick(struct tt_evict *e); /* the next stamp */
size_t tt_evict_victim(struct tt_evict *e); /* TT_EVICT_NONE: none. Fails the test if it is not inserted */
size_t tt_evict_evict(struct tt_evict *e);  /* removes the victim, which must exist; returns it */

/* A request for i in a cache of room entries: true for a hit. A miss evicts, then inserts. */
bool tt_evict_get(struct tt_evict *e, size_t i, size_t room);

#endif
