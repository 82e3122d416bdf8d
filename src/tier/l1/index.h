/* The hash table of one stripe: buckets of a cache line, open addressing over whole buckets, bounded probes. It is
 * changed under the stripe's lock and read without it, inside tc_reader_enter() and tc_reader_leave().
 *
 * A bucket has seven lanes and a tag of each, eight bits of the key's hash, so that a look-up reads one line, and the
 * line of an entry only if the tag says so. An entry lies in its home bucket or in one of the fifteen that follow; the
 * home knows how far the farthest of its own went, so a look-up never goes farther. That reach is exact: it shrinks
 * when the farthest leaves. An entry stays in its lane until it leaves the table or the table grows: who looks for a
 * key that is there all the while finds it. Two entries are the same if their key bytes are; tags decide nothing. */
#ifndef TC_TIER_L1_INDEX_H
#define TC_TIER_L1_INDEX_H

#include <string.h>

#include "tier/l1/entry.h"

#define TC_INDEX_LANES 7
#define TC_INDEX_REACH 15 /* how far from its home an entry may lie, in buckets */
/* The most lanes that any look-up examines. */
#define TC_INDEX_PROBES (TC_INDEX_LANES * (TC_INDEX_REACH + 1))

struct tc_bucket {
    /* Lowest byte: tag of lane 0, and so on; 0 is an empty lane. Highest byte: the reach of those whose home it is. */
    _Alignas(TC_CACHELINE) _Atomic uint64_t tags;
    /* The entry's address, whose lowest 4 and highest 16 bits are 0, with its distance from home in the lowest 4 and the
     * wheel's code in the highest 16; 0 is empty. */
    _Atomic uint64_t lanes[TC_INDEX_LANES];
};

/* Memory of a table: one line for this, then the buckets. */
struct tc_table {
    struct tc_table *next; /* among those that wait for readers */
    uint64_t epoch;        /* since when */
    size_t n;              /* buckets */
};

struct tc_index {
    uint32_t n;       /* buckets, for writers */
    uint32_t count;   /* entries */
    uint32_t refused; /* number of buckets in which these entries did not all find a lane: not tried again */
    /* Where the buckets are and how many: both in one word, so that a reader has them of one table. 0: no table yet.
     * The address has its lowest 6 and highest 16 bits free; the number is an 11-bit one shifted by a 5-bit one. On a
     * line that is written when the table grows and when the owner's stamps, which lie beside it, move on. */
    _Alignas(TC_CACHELINE) _Atomic uint64_t table;
    _Atomic uint8_t stamp, marks_kept; /* the owner's: see stripe.h */
};

static inline struct tc_bucket *tc_index_buckets(uint64_t table)
{
    return (struct tc_bucket *)(uintptr_t)(table & UINT64_C(0x0000FFFFFFFFFFC0));
}

static inline size_t tc_index_n_of(uint64_t table)
{
    return (size_t)(table >> 53) << (table >> 48 & 31);
}

static inline size_t tc_index_home(uint64_t hash, size_t n)
{
    return (size_t)((hash & UINT32_MAX) * n >> 32);
}

static inline uint64_t tc_index_tag(uint64_t hash)
{
    uint64_t tag = hash >> 56;
    return tag > 0 ? tag : 1;
}

/* Asks for the home bucket of a look-up to come. */
static inline void tc_index_prefetch(const struct tc_index *x, uint64_t hash)
{
    uint64_t table = atomic_load_explicit(&x->table, memory_order_relaxed);
    uintptr_t home = (uintptr_t)tc_index_buckets(table) + tc_index_home(hash, tc_index_n_of(table)) * TC_CACHELINE;
    __builtin_prefetch((const void *)home);
}

static inline __attribute__((always_inline)) uint64_t tc_index_differ(const unsigned char *a, const unsigned char *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x ^ y;
}

/* Bytes of keys: short as a rule, and not worth a call. */
static inline __attribute__((always_inline)) bool tc_index_same_bytes(const unsigned char *a, const unsigned char *b,
                                                                      size_t n)
{
    if (n < 8)
        return memcmp(a, b, n) == 0;
    uint64_t differ = tc_index_differ(a, b) | tc_index_differ(a + n - 8, b + n - 8);
    for (size_t at = 8; at + 8 < n; at += 8)
        differ |= tc_index_differ(a + at, b + at);
    return differ == 0;
}

#define TC_INDEX_BYTES UINT64_C(0x0001010101010101) /* one in the byte of each lane */

/* A superset of the lanes whose tag it is: the highest bit of their bytes. */
static inline uint64_t tc_index_matches(uint64_t tags, uint64_t tag)
{
    uint64_t x = tags ^ tag * TC_INDEX_BYTES;
    return (x - TC_INDEX_BYTES) & ~x & TC_INDEX_BYTES << 7;
}

static inline struct tc_entry *tc_index_entry(uint64_t lane)
{
    return (struct tc_entry *)(uintptr_t)(lane & UINT64_C(0x0000FFFFFFFFFFF0));
}

#define TC_INDEX_CODE_SHIFT 48

/* Whether an entry of that address can be in a table: else the memory is of a kind that no system gives unasked. */
static inline bool tc_index_takes(const struct tc_entry *e)
{
    return tc_index_entry((uint64_t)(uintptr_t)e) == e;
}

/* tc_index_find() where each instruction counts. */
static inline __attribute__((always_inline)) struct tc_entry *tc_index_find_here(const struct tc_index *x, uint64_t hash,
                                                                                 struct cache_slice key)
{
    uint64_t table = atomic_load_explicit(&x->table, memory_order_acquire);
    if (table == 0)
        return NULL;
    struct tc_bucket *buckets = tc_index_buckets(table);
    size_t n = tc_index_n_of(table), at = tc_index_home(hash, n);
    uint64_t tag = tc_index_tag(hash);
    uint64_t tags = atomic_load_explicit(&buckets[at].tags, memory_order_acquire);
    for (uint64_t left = tags >> 56;; left--) {
        for (uint64_t m = tc_index_matches(tags, tag); m != 0; m &= m - 1) {
            unsigned lane = (unsigned)__builtin_ctzll(m) / 8;
            struct tc_entry *e =
                tc_index_entry(atomic_load_explicit(&buckets[at].lanes[lane], memory_order_acquire));
            if (e != NULL && e->key_len == key.len && tc_index_same_bytes(tc_entry_key(e), key.data, key.len))
                return e;
        }
        if (left == 0)
            return NULL;
        at = at + 1 < n ? at + 1 : 0;
        tags = atomic_load_explicit(&buckets[at].tags, memory_order_acquire);
    }
}

struct tc_entry *tc_index_find(const struct tc_index *x, uint64_t hash, struct cache_slice key);

/* Asks for the entry that such a look-up will read first, whose bucket has come meanwhile. */
static inline void tc_index_prefetch_entry(const struct tc_index *x, uint64_t hash)
{
    uint64_t table = atomic_load_explicit(&x->table, memory_order_acquire);
    if (table == 0)
        return;
    struct tc_bucket *b = tc_index_buckets(table) + tc_index_home(hash, tc_index_n_of(table));
    uint64_t m = tc_index_matches(atomic_load_explicit(&b->tags, memory_order_relaxed), tc_index_tag(hash));
    if (m == 0)
        return;
    uint64_t lane = atomic_load_explicit(&b->lanes[__builtin_ctzll(m) / 8], memory_order_relaxed);
    const char *e = (const char *)tc_index_entry(lane);
    __builtin_prefetch(e);
    __builtin_prefetch(e + TC_CACHELINE);
}

/* The rest with the stripe's lock held. */

void tc_index_fini(struct tc_index *x, const struct tc_alloc *a);
void tc_index_free_table(struct tc_table *t, const struct tc_alloc *a);

size_t tc_index_bytes(const struct tc_index *x);        /* heap bytes of the table */
/* By which an insertion of that hash will grow them. thrift: growing drives entries out, so only if it must. */
size_t tc_index_growth_bytes(const struct tc_index *x, uint64_t hash, bool thrift);
static inline size_t tc_index_table_bytes(const struct tc_table *t)
{
    return (t->n + 1) * sizeof(struct tc_bucket);
}

/* Makes room for one more entry of that hash, growing if the table is full, or no lane in reach is empty though half of
 * the table is filled: less than that, and somebody chose the keys. NULL: there is a gap, insert. Otherwise the
 * entry whose lane the new one must take (tc_index_replace): all lanes in reach are taken, or the table cannot grow:
 * for want of memory, or because no table of up to twice its size has room for these keys within reach.
 * The heap bytes that growing took are added to *grown_bytes; the table before goes to *before, for who reads it still.
 * *failed: there is no table and no memory for one. */
struct tc_entry *tc_index_make_room(struct tc_index *x, const struct tc_alloc *a, uint64_t hash, bool thrift,
                                    uint64_t *grown_bytes, struct tc_table **before, bool *failed);
/* After make_room said NULL; the key is not in it. code: the wheel's. */
void tc_index_insert(struct tc_index *x, struct tc_entry *e, uint16_t code);
/* Puts e in old's lane: old has the same hash, or make_room named it for e's. */
void tc_index_replace(struct tc_index *x, struct tc_entry *old, struct tc_entry *e, uint16_t code);
void tc_index_remove(struct tc_index *x, struct tc_entry *e); /* it is in it */

/* All lanes, for those who go through everything: number i holds an entry, or none. */
static inline size_t tc_index_lanes(const struct tc_index *x)
{
    return (size_t)x->n * TC_INDEX_LANES;
}
static inline uint64_t tc_index_lane(const struct tc_index *x, size_t i)
{
    struct tc_bucket *b = tc_index_buckets(atomic_load_explicit(&x->table, memory_order_relaxed)) + i / TC_INDEX_LANES;
    return atomic_load_explicit(&b->lanes[i % TC_INDEX_LANES], memory_order_relaxed);
}
static inline uint16_t tc_index_code(uint64_t lane)
{
    return (uint16_t)(lane >> TC_INDEX_CODE_SHIFT);
}
void tc_index_set_code(struct tc_index *x, size_t i, uint16_t code);
static inline struct tc_entry *tc_index_at(const struct tc_index *x, size_t i)
{
    return tc_index_entry(tc_index_lane(x, i));
}
bool tc_index_check(const struct tc_index *x); /* tags, distances and reaches are what they should be */

#endif
