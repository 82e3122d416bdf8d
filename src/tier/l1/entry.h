/* An entry: key, value and lifetime in one immutable, reference-counted piece of memory. The same object lies in L1,
 * is handed to callers as a pinned value, and passes from a load to those who wait for it; nothing is copied between.
 *
 *   phase      references            who may write it
 *   made       1, its maker          the maker: value bytes, lifetimes
 *   published  1 of L1 + pins        nobody, except the fields marked (lock): the stripe's lock holder
 *   detached   pins only             nobody; the last release frees it
 *
 * Pins are taken under the stripe's lock (or by a holder of a pin), so an entry whose only reference is L1's cannot
 * gain one while the lock is held. */
#ifndef TC_TIER_L1_ENTRY_H
#define TC_TIER_L1_ENTRY_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "policy/type.h"

struct tc_order;

enum {
    TC_ENTRY_ABSENT = 1u << 0, /* a cached absence */
    TC_ENTRY_COUNTS = 1u << 1  /* its type's TTL policy wants to know the hits */
};

#define TC_NEVER_MS INT64_MAX

/* In memory: the eviction policy's node, this struct, the key, the value (unless it lies in frame). What a hit needs is
 * at the end of the struct, so that it shares cache lines with key and value and the rest stays out of the cache. */
struct tc_entry {
    uint64_t hash;
    struct cache_type *type;
    struct tc_order *order; /* (lock) the eviction order it stands in */
    size_t bytes;           /* what it counts for in the memory limit */
    int64_t keep_until_ms;  /* end of the stale window */
    int64_t used_ms;        /* (lock) when it was last put in front of its order */
    struct tc_entry *wheel_next, **wheel_link; /* (lock) */
    void *frame;            /* memory that data lies in, or NULL; owned */
    size_t frame_len;
    uint32_t node_bytes;
    uint8_t wheel_level, wheel_at; /* (lock) */
    _Atomic bool detached; /* in callers' hands but not in L1; set before the reference that makes it so is given up */

    /* hot */
    _Atomic uint32_t refs;
    uint32_t key_len;
    const unsigned char *data; /* the value: behind the key, or inside frame */
    size_t len;
    int64_t fresh_until_ms; /* TC_NEVER_MS: no expiry */
    int64_t made_ms;        /* when the value was made, on the monotonic clock */
    int64_t taken_ms;       /* when this process took it from L2 or the origin */
    uint32_t touched_at;    /* (lock) the stripe's touches when it was last put in front */
    uint16_t hits;          /* (lock) if TC_ENTRY_COUNTS; stops at its maximum */
    uint16_t flags;         /* TC_ENTRY_* */
};

static inline void *tc_entry_node(struct tc_entry *e)
{
    return (char *)e - e->node_bytes;
}

static inline struct tc_entry *tc_entry_of_node(void *node, size_t node_bytes)
{
    return (struct tc_entry *)(void *)((char *)node + node_bytes);
}

static inline unsigned char *tc_entry_key(struct tc_entry *e)
{
    return (unsigned char *)(e + 1);
}

/* Asks for the lines that a hit reads, before any of them is. */
static inline void tc_entry_prefetch(const struct tc_entry *e)
{
    const char *hot = (const char *)&e->refs;
    __builtin_prefetch(hot);
    __builtin_prefetch(hot + TC_CACHELINE);
    __builtin_prefetch(hot + 2 * TC_CACHELINE);
}

/* node_bytes is a multiple of 16 (alignment). Makes an entry with room for len bytes of value, to be written to
 * tc_entry_room() before it is published; one reference is the caller's. NULL when out of memory or when the sizes
 * overflow. */
struct tc_entry *tc_entry_open(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                               struct cache_slice key, size_t len);
unsigned char *tc_entry_room(struct tc_entry *e);

/* Makes an entry whose value lies inside frame, which it owns from then on (not if this returns NULL). */
struct tc_entry *tc_entry_adopt(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                                struct cache_slice key, void *frame, size_t frame_len, struct cache_slice value);

void tc_entry_free(const struct tc_alloc *a, struct tc_entry *e); /* no reference is left; e may be NULL */

/* What an allocation of n bytes takes from the heap: malloc's header and rounding. */
size_t tc_entry_heap_bytes(size_t n);

#endif
