/* The hash table of one stripe: buckets of a cache line, open addressing over whole buckets, bounded probes. It is
 * changed under the stripe's lock and read without it, inside tc_reader_enter() and tc_reader_leave().
 *
 * A bucket (bucket.h) has ten lanes and a tag of each, so that a look-up reads one line, and the line of an entry only
 * if the tag says so. An entry lies in its home bucket or in one of fifteen others, to which the steps grow longer and
 * longer (triangular probing: Knuth, The Art of Computer Programming 3, 6.4): side by side they would fill up together,
 * and a large table would have no place for some key at three quarters already. Small tables have no room for that. The
 * home knows how far the farthest of its own went, so a look-up never goes farther. That reach is exact: it shrinks
 * when the farthest leaves. An entry stays in its lane until it leaves the table or the table grows: who looks for a
 * key that is there all the while finds it. Two entries are the same if their key bytes are; tags decide nothing.
 *
 * A large table that grows is copied into a larger one some buckets at a time, at each insertion, and at each store with
 * the lock over what is there (index_grow.c). Until that is done nobody reads the larger one, and what changes in a
 * bucket that was copied changes in both. */
#ifndef TC_TIER_L1_INDEX_H
#define TC_TIER_L1_INDEX_H

#include "base/cells.h"
#include "tier/l1/bucket.h"
#include "tier/l1/entry.h"

/* What readers need, on a line that is written when the table or the maps of cells grow and when the owner's stamps
 * move on. The views of all stripes lie together.
 *
 * Buckets and their number are two words, read in the order number, address, and written in the other one, and tables
 * only grow: who gets a number of one table and the address of another reads within that one, and at worst misses what
 * is there. So what is not found at the first look is looked up again by the number that lies with the buckets. */
struct tc_index_view {
    _Alignas(TC_CACHELINE) _Atomic uint32_t n; /* buckets */
    uint32_t node_bytes;                       /* of the eviction policy, in each cell before the entry */
    _Atomic(struct tc_bucket *) buckets;       /* behind a struct tc_block; NULL: no table yet, and n is 0 */
    struct tc_cells cells;                     /* where the entries lie */
    _Atomic uint8_t stamp, marks_kept, hits;   /* the owner's: see stripe.h */
};

/* A table, for writers. */
struct tc_buckets {
    struct tc_bucket *first;
    uint32_t n; /* 0: none */
};

struct tc_index {
    struct tc_index_view *view;
    struct tc_hasher hasher; /* of the keys */
    bool in_pages;    /* the table is: see tc_table_heap_bytes() */
    bool next_failed; /* some entry found no lane in next */
    uint32_t n;       /* buckets, for writers */
    uint32_t count;   /* entries */
    uint32_t refused; /* number of buckets in which these entries did not all find a lane: not tried again */
    uint32_t copied;  /* the first so many buckets: their entries are in next too */
    uint32_t hand;    /* its owner's, a bucket: here since stores write this line anyway */
    struct tc_buckets next; /* the larger table, while it is filled */
};

static inline size_t tc_index_home(uint64_t hash, uint32_t n)
{
    return (size_t)((hash & UINT32_MAX) * n >> 32);
}

/* Up to there a look-up goes from bucket to bucket one by one: with longer steps it would come upon some twice if there
 * are hardly more than they reach. */
#define TC_INDEX_CLOSE_BUCKETS 128
#define TC_INDEX_OFFSET_MOST (TC_INDEX_REACH * (TC_INDEX_REACH + 1) / 2)
_Static_assert(TC_INDEX_OFFSET_MOST < TC_INDEX_CLOSE_BUCKETS, "all of them are different buckets");

/* The way from a home to the buckets where else its entries may lie, of n. */
struct tc_index_walk {
    size_t at, step, grows, n;
};

static inline struct tc_index_walk tc_index_walk(size_t n, size_t home)
{
    return (struct tc_index_walk){ home, 1, n > TC_INDEX_CLOSE_BUCKETS, n };
}

static inline void tc_index_go_on(struct tc_index_walk *w)
{
    w->at += w->step;
    w->step += w->grows;
    if (w->at >= w->n)
        w->at -= w->n;
}

#define TC_INDEX_TAG_SHIFT 56
static inline uint64_t tc_index_tag(uint64_t hash)
{
    uint64_t tag = hash >> TC_INDEX_TAG_SHIFT;
    return tag > 0 ? tag : 1;
}

static inline __attribute__((always_inline)) struct tc_entry *tc_index_entry(const struct tc_index_view *v,
                                                                             uint32_t cell)
{
    return tc_entry_of_node(tc_cell(&v->cells, cell), v->node_bytes);
}

/* Asks for the home bucket of a look-up to come. */
static inline void tc_index_prefetch(const struct tc_index_view *v, uint64_t hash)
{
    size_t home = tc_index_home(hash, atomic_load_explicit(&v->n, memory_order_acquire));
    __builtin_prefetch((const char *)atomic_load_explicit(&v->buckets, memory_order_relaxed) + home * TC_CACHELINE);
}

/* The same of the bucket after it: the last one has it not, and asks for nothing that is there. */
static inline void tc_index_prefetch_next(const struct tc_index_view *v, uint64_t hash)
{
    size_t home = tc_index_home(hash, atomic_load_explicit(&v->n, memory_order_acquire));
    uintptr_t buckets = (uintptr_t)atomic_load_explicit(&v->buckets, memory_order_relaxed); /* there may be none */
    __builtin_prefetch((const void *)(buckets + (home + 1) * TC_CACHELINE));
}

/* Where a key may be found first: the bucket, and the lanes of it whose tag it is. */
struct tc_index_probe {
    struct tc_bucket *bucket;
    tc_lanes lanes;
};

/* False: there is no table. */
static inline __attribute__((always_inline)) bool tc_index_home_probe(const struct tc_index_view *v, uint64_t hash,
                                                                      struct tc_index_probe *p)
{
    uint32_t n = atomic_load_explicit(&v->n, memory_order_acquire);
    struct tc_bucket *buckets = atomic_load_explicit(&v->buckets, memory_order_acquire);
    if (__builtin_expect(buckets == NULL, 0))
        return false;
    p->bucket = buckets + tc_index_home(hash, n);
    p->lanes = tc_bucket_lanes_with(p->bucket, tc_index_tag(hash));
    return true;
}

/* An entry whose key it does not say itself. */
bool tc_index_is_more_key(const struct tc_entry *e, struct cache_slice key);

/* Whether an entry has that key. Without the lock: *refs is what its
 * references and its version were before the key was read. If the version is odd or has changed when the caller has
 * what he wants, it may have been another key's. entry_of: the one that a lane names, if it has it. */
static inline __attribute__((always_inline)) bool tc_index_has_key(const struct tc_entry *e, struct cache_slice key,
                                                                   uint32_t *refs)
{
    *refs = atomic_load_explicit(&e->refs, memory_order_acquire);
    size_t len = tc_sizes_key_len(tc_entry_sizes(e));
    if (__builtin_expect(len == 0, 0))
        return tc_index_is_more_key(e, key);
    return len == key.len && tc_words_same(tc_entry_plain_key(e), key.data, key.len);
}

static inline __attribute__((always_inline)) struct tc_entry *tc_index_entry_of(const struct tc_index_view *v,
                                                                                uint32_t cell, struct cache_slice key,
                                                                                uint32_t *refs)
{
    if (cell == 0)
        return NULL;
    struct tc_entry *e = tc_index_entry(v, cell);
    return tc_index_has_key(e, key, refs) ? e : NULL;
}

struct tc_entry *tc_index_find(const struct tc_index_view *v, uint64_t hash, struct cache_slice key, uint32_t *refs);

/* The same where each instruction counts, for the bytes of a struct tc_key, which end in zeros: of what lies where it
 * is looked for first, as nearly everything does. False: it may be elsewhere. */
static inline __attribute__((always_inline)) bool tc_index_find_first(const struct tc_index_view *v, uint64_t hash,
                                                                      struct cache_slice key,
                                                                      struct tc_entry_seen *seen)
{
    struct tc_index_probe p;
    if (__builtin_expect(!tc_index_home_probe(v, hash, &p) || p.lanes == 0, 0))
        return false;
    uint32_t cell = atomic_load_explicit(&p.bucket->lanes[tc_bucket_lane_of(p.lanes)], memory_order_acquire);
    if (__builtin_expect(cell == 0, 0))
        return false;
    seen->e = tc_index_entry(v, cell);
    seen->refs = atomic_load_explicit(&seen->e->refs, memory_order_acquire);
    seen->sizes = tc_entry_sizes(seen->e);
    size_t len = tc_sizes_key_len(seen->sizes);
    if (__builtin_expect(len != key.len, 0))
        return len == 0 && tc_index_is_more_key(seen->e, key);
    return __builtin_expect(tc_words_same_whole(tc_entry_plain_key(seen->e), key.data, key.len), 1);
}

/* The same wherever it lies. seen->e is NULL: nowhere. */
static inline __attribute__((always_inline)) bool tc_index_find_on(const struct tc_index_view *v, uint64_t hash,
                                                                   struct cache_slice key,
                                                                   struct tc_entry_seen *seen)
{
    uint32_t refs; /* so that what was seen stays in registers */
    struct tc_entry *e = tc_index_find(v, hash, key, &refs);
    seen->e = e;
    if (e == NULL)
        return false;
    *seen = (struct tc_entry_seen){ e, refs, tc_entry_sizes(e) };
    /* If not, it was overwritten since the key was compared. */
    return refs & TC_ENTRY_MORE || tc_sizes_key_len(seen->sizes) == key.len;
}

static inline __attribute__((always_inline)) bool tc_index_find_here(const struct tc_index_view *v, uint64_t hash,
                                                                     struct cache_slice key,
                                                                     struct tc_entry_seen *seen)
{
    return __builtin_expect(tc_index_find_first(v, hash, key, seen), 1) || tc_index_find_on(v, hash, key, seen);
}

/* With the lock: the cell too, and where it is listed; both may be NULL. */
struct tc_index_at {
    struct tc_bucket *bucket;
    unsigned lane;
};
struct tc_entry *tc_index_find_at(const struct tc_index_view *v, uint64_t hash, struct cache_slice key, uint32_t *cell,
                                  struct tc_index_at *where);

/* Asks for the entry in a cell, if there is one: its head, and most of a short key. */
static inline void tc_index_prefetch_cell(const struct tc_index_view *v, uint32_t cell)
{
    if (cell == 0)
        return;
    const char *e = tc_cell(&v->cells, cell);
    __builtin_prefetch(e);
    __builtin_prefetch(e + TC_CACHELINE);
}

/* Asks for the entry that such a look-up will read first, whose bucket has come meanwhile. */
static inline void tc_index_prefetch_entry(const struct tc_index_view *v, uint64_t hash)
{
    struct tc_index_probe p;
    if (!tc_index_home_probe(v, hash, &p) || p.lanes == 0)
        return;
    tc_index_prefetch_cell(v, atomic_load_explicit(&p.bucket->lanes[tc_bucket_lane_of(p.lanes)], memory_order_acquire));
}

/* The rest with the stripe's lock held. */

void tc_index_fini(struct tc_index *x, const struct tc_alloc *a);

/* Heap bytes of the table and the next one. */
size_t tc_index_bytes(const struct tc_index *x);
/* How a large table grows. */
enum tc_index_growth {
    TC_GROW_BESIDE,    /* there is memory for both: step by step */
    TC_GROW_AT_ONCE,   /* there is memory for the larger one in place of the other: in one call */
    TC_GROW_IF_CRAMMED /* it would come from evicting: at fifteen sixteenths only, and one that leaves does as well */
};
/* By which an insertion of that hash will grow them. */
size_t tc_index_growth_bytes(const struct tc_index *x, uint64_t hash, enum tc_index_growth how);

/* Makes room for one more entry of that hash. The table begins to grow if it is full; or if no lane in reach is empty
 * though half of the table is filled: less than that, and somebody chose the keys. A large one begins a little before,
 * with TC_GROW_BESIDE, and is done with the calls that follow, each of which copies some buckets. A small one grows at
 * once, and so does any if there is no lane. 0: there is a gap, insert. Otherwise one of those in reach, of whom one,
 * whichever, has to leave its lane to the new one (tc_index_replace): all these lanes are taken, and the table cannot
 * grow: for want of memory, or because no table of up to twice its size has room for these keys within reach. */
struct tc_index_room {
    uint64_t more_bytes, fewer_bytes; /* by which tc_index_bytes() is another now */
    struct tc_block *before;          /* the table that was, for who reads it still; or NULL */
    bool failed;                      /* there is no table and no memory for one */
};
uint32_t tc_index_make_room(struct tc_index *x, const struct tc_alloc *a, uint64_t hash, enum tc_index_growth how,
                            struct tc_index_room *room);
/* The cells in those lanes, nearest first, and how many: there are TC_INDEX_PROBES or fewer. */
size_t tc_index_in_reach(const struct tc_index *x, uint64_t hash, uint32_t *cells, size_t most);
static inline bool tc_index_is_growing(const struct tc_index *x)
{
    return x->next.n > 0;
}
/* Copies some buckets of a table that grows, where nothing is inserted. */
void tc_index_grow_on(struct tc_index *x, const struct tc_alloc *a, struct tc_index_room *room);
/* Gives up the next table, if there is one. Returns by how many bytes tc_index_bytes() is less. */
size_t tc_index_give_up(struct tc_index *x, const struct tc_alloc *a);

/* Where a key lies, or where a new entry can go without anything else. */
struct tc_index_gap {
    struct tc_index_at at;
    size_t distance; /* from the home */
};
/* Looks a key up, and on the way where it could lie. The cell; or 0 and that place, whose bucket is NULL if there is
 * none, or if the table grows or is to: see tc_index_make_room(). thrift: only if it is crammed. */
uint32_t tc_index_find_or_gap(const struct tc_index *x, uint64_t hash, struct cache_slice key, bool thrift,
                              struct tc_index_gap *gap);
void tc_index_fill(struct tc_index *x, const struct tc_index_gap *gap, uint32_t cell, uint64_t hash, uint8_t code);
/* After make_room said 0; the key is not in it. code: the wheel's. The entry's fields are set before. */
void tc_index_insert(struct tc_index *x, uint32_t cell, uint64_t hash, uint8_t code);
/* Puts cell, of that hash, in old's lane: make_room named it. */
void tc_index_replace(struct tc_index *x, uint32_t old, uint32_t cell, uint64_t hash, uint8_t code);
/* The same for an entry of that same hash, at a place that is known. */
void tc_index_replace_at(struct tc_index *x, const struct tc_index_at *at, uint32_t cell, uint64_t hash, uint8_t code);
/* The same entry lies in another cell from now on. */
void tc_index_move(struct tc_index *x, uint32_t from, uint32_t to);
/* It is in it, and its fields can be read: here and in some of the others the hash of its key is computed again. */
void tc_index_remove(struct tc_index *x, uint32_t cell);
/* The same of an entry of that hash, whose fields may have changed. */
void tc_index_remove_of(struct tc_index *x, uint32_t cell, uint64_t hash);

/* All lanes, for those who go through everything: number i holds an entry, or none. */
static inline size_t tc_index_lanes(const struct tc_index *x)
{
    return (size_t)x->n * TC_INDEX_LANES;
}
static inline struct tc_bucket *tc_index_bucket(const struct tc_index *x, size_t at)
{
    return atomic_load_explicit(&x->view->buckets, memory_order_relaxed) + at;
}
static inline uint32_t tc_index_cell(const struct tc_index *x, size_t i)
{
    struct tc_bucket *b = tc_index_bucket(x, i / TC_INDEX_LANES);
    return atomic_load_explicit(&b->lanes[i % TC_INDEX_LANES], memory_order_relaxed);
}
/* The same in parts, between which the lock is let go: entries stay in their lanes unless a larger table comes; then it
 * begins anew. Zeroed at first; what comes meanwhile may be met or not. */
struct tc_index_way {
    uint32_t n;  /* buckets of the table that next is meant for */
    size_t next; /* lane */
};
static inline void tc_index_way_on(const struct tc_index *x, struct tc_index_way *w)
{
    if (w->n != x->n)
        *w = (struct tc_index_way){ x->n, 0 };
}
void tc_index_set_code_at(struct tc_index *x, const struct tc_index_at *at, uint64_t hash, uint8_t code);
uint8_t tc_index_code(const struct tc_index *x, size_t i);
void tc_index_set_code(struct tc_index *x, size_t i, uint8_t code);
/* Tags, distances and reaches are what they should be; and in the next table there is what should be. */
bool tc_index_check(const struct tc_index *x);

#endif
