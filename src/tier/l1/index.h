/* The hash table of one stripe: open addressing, linear probing, no tombstones, bounded probes. The stripe's lock is
 * held. Two entries are the same if hash and key bytes are; the hash alone decides nothing. */
#ifndef TC_TIER_L1_INDEX_H
#define TC_TIER_L1_INDEX_H

#include "tier/l1/entry.h"

/* The most slots that any look-up examines. At the largest load, 7/10, longer sequences are expected in tables of
 * millions only. */
#define TC_INDEX_PROBES 256

struct tc_index_slot {
    uint64_t hash;
    struct tc_entry *entry; /* NULL: empty */
};

struct tc_index {
    struct tc_index_slot *slots; /* NULL until the first insertion */
    size_t mask;                 /* number of slots - 1 */
    size_t count;
    size_t refused; /* number of slots for which growing was in vain: not tried again */
    _Atomic uintptr_t hint_slots; /* the two above for tc_index_prefetch, which has no lock: an address to ask the */
    _Atomic size_t hint_mask;     /* processor for, never one to read */
};

/* Asks for the first slot of a look-up to come, before the lock is taken: waiting for the one hides the other. */
static inline void tc_index_prefetch(const struct tc_index *x, uint64_t hash)
{
    uintptr_t slots = atomic_load_explicit(&x->hint_slots, memory_order_relaxed);
    size_t at = hash & atomic_load_explicit(&x->hint_mask, memory_order_relaxed);
    __builtin_prefetch((const void *)(slots + at * sizeof(struct tc_index_slot)));
}

void tc_index_fini(struct tc_index *x, const struct tc_alloc *a);
struct tc_entry *tc_index_find(const struct tc_index *x, uint64_t hash, struct cache_slice key);

size_t tc_index_growth_bytes(const struct tc_index *x); /* heap bytes by which the next insertion will grow the table */

/* Makes room for one more entry of that hash, growing if the table is full. NULL: there is a gap, insert. Otherwise the
 * entry whose slot the new one must take (tc_index_replace): its probe sequence has no gap, or the table cannot grow.
 * The heap bytes that growing took are added to *grown_bytes. *failed: there is no table and no memory for one. */
struct tc_entry *tc_index_make_room(struct tc_index *x, const struct tc_alloc *a, uint64_t hash, uint64_t *grown_bytes,
                                    bool *failed);
void tc_index_insert(struct tc_index *x, struct tc_entry *e); /* after make_room said NULL; the key is not in it */
/* Puts e in old's slot: old has the same hash, or make_room named it for e's. */
void tc_index_replace(struct tc_index *x, struct tc_entry *old, struct tc_entry *e);
void tc_index_remove(struct tc_index *x, struct tc_entry *e); /* it is in it */

#endif
