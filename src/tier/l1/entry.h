/* An entry: key, value and lifetime in one reference-counted piece of memory. The same object passes from a load to
 * those who wait for it and to callers as a pinned value. L1 holds it too or, if its stripe houses what is of its size,
 * a copy of it.
 *
 *   phase      references            who may write it
 *   made       1, its maker          the maker: value bytes, lifetimes
 *   published  1 of L1 + pins        what is atomic: anyone who reads it. Key, value and lifetime: nobody while there
 *                                    is a pin, or a flag of TC_ENTRY_FLAGS; else, if it is housed and the value is
 *                                    short, whoever takes it from an even version to an odd one: overwrite.h
 *   unlinked   1 of L1 + pins        whoever has its stripe's lock, tc_entry_left() only, until every reader who may
 *                                    have come upon it is through
 *   detached   pins only             nobody; the last release frees it
 *
 * A reader without the lock, inside tc_reader_enter(), may take a pin on what it finds: L1's reference is there until
 * all such readers are through. Or it copies what it finds. Whether that was overwritten meanwhile, with another key
 * perhaps, it sees from the version: it reads refs first, then the key, then the rest, then refs again.
 *
 * In memory: the eviction policy's node, struct tc_entry, for some struct tc_entry_more, the key, the value (unless it
 * lies in a frame). Most entries do without more: a short key, a value below 64 KiB that was made where it was stored,
 * with a TTL and its type's stale window. All that in an allocation of its own, in a cell of a page (base/slab.h), in
 * an extent (base/extents.h), or in memory of a caller's, to be copied from. Nothing in it that can be computed: its
 * hash is that of its key. */
#ifndef TC_TIER_L1_ENTRY_H
#define TC_TIER_L1_ENTRY_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/extents.h"
#include "base/slab.h"
#include "base/words.h"
#include "policy/type.h"

/* In refs, beside the count of references: whether L1 has one of them; and in the upper half what it is, where, and its
 * version, which says how often it was overwritten: the highest 9 bits, so that they begin anew by themselves. What it is
 * never changes once it is published. The upper half of what is housed nobody changes but whoever overwrites it, until
 * it has left and readers are through: who has no lock may be about to store it until then. */
#define TC_ENTRY_REFS UINT32_C(0x7FFF)
/* Who comes then gets a copy. The others are for those who just try, and for those who waited for one and the same
 * load. */
#define TC_ENTRY_PINS_MOST (TC_ENTRY_REFS / 2)
enum {
    TC_ENTRY_IN_L1 = 1u << 15,
    TC_ENTRY_DETACHED = 1u << 16, /* in callers' hands alone: set before the reference that makes it so is given up */
    TC_ENTRY_ABSENT = 1u << 17,   /* a cached absence */
    TC_ENTRY_COUNTS = 1u << 18,   /* its type wants to know the hits: a TTL policy of it, only with more, or an eviction
                                     policy of its own, that is told of them in another way than the cache's */
    TC_ENTRY_MORE = 1u << 19,     /* there is a struct tc_entry_more */
    TC_ENTRY_FOREVER = 1u << 20,  /* without more: no expiry */
    TC_ENTRY_LENT = 1u << 21,     /* in memory of a caller's */
    TC_ENTRY_HOUSED = 1u << 22,   /* in memory of its stripe's: a cell of a page, */
    TC_ENTRY_IN_EXTENT = TC_ENTRY_LENT | TC_ENTRY_HOUSED /* or an extent */
};
#define TC_ENTRY_VERSION_ONE (UINT32_C(1) << 23)
#define TC_ENTRY_VERSIONS (UINT32_C(0x1FF) << 23)
#define TC_ENTRY_WRITING TC_ENTRY_VERSION_ONE /* the version is odd: it is being overwritten */
#define TC_ENTRY_QUARTER_SHIFT 30 /* of the versions: see stripe_version.c */
/* Only what is housed is overwritten. Of what is not, an even version says something else: L1 has, or had, a reference
 * to this very entry, and will tell (TC_ENTRY_DETACHED) if callers still hold it when it gives that up. */
#define TC_ENTRY_SHARED (2 * TC_ENTRY_VERSION_ONE)
#define TC_ENTRY_FLAGS (TC_ENTRY_ABSENT | TC_ENTRY_COUNTS | TC_ENTRY_MORE | TC_ENTRY_FOREVER)

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
enum { TC_ENTRY_LOWER, TC_ENTRY_UPPER };
#else
enum { TC_ENTRY_UPPER, TC_ENTRY_LOWER };
#endif

#define TC_NEVER_MS INT64_MAX

struct tc_entry {
    union {
        /* Without more: in the upper 36 bits when it expires, on the monotonic clock, and in the lower 28 its life;
         * with TC_ENTRY_FOREVER all 64 say when it was made. */
        _Atomic uint64_t times;
        struct tc_entry *next; /* to be freed */
    };
    union {
        _Atomic uint32_t refs;
        _Atomic uint16_t refs_halves[2]; /* TC_ENTRY_LOWER, _UPPER */
    };
    /* Lower 16 bits: the value's length, then 8: the key's, both 0 if more has them; the highest 8: the type's number.
     * One word, so that lengths that are read together fit into the cell together. */
    _Atomic uint32_t sizes;
};

/* The longest key and value of an entry without more. */
#define TC_ENTRY_KEY_MOST UINT8_MAX
#define TC_ENTRY_LEN_MOST UINT16_MAX
/* Longer values are never overwritten: a reader would have to begin anew too often. */
#define TC_ENTRY_OVERWRITTEN_MOST 2048

struct tc_entry_more {
    struct cache_type *type;
    uint64_t hash;
    uint32_t len, key_len;
    int64_t made_ms;        /* when the value was made, on the monotonic clock */
    int64_t taken_ms;       /* when this process took it from L2 or the origin */
    int64_t fresh_until_ms; /* TC_NEVER_MS: no expiry */
    int64_t keep_until_ms;  /* end of the stale window */
    const unsigned char *data; /* the value: behind the key, or inside frame */
    void *frame;               /* memory that data lies in, or NULL: behind the key; owned */
    size_t frame_len;
    _Atomic uint16_t hits; /* if TC_ENTRY_COUNTS; stops at its maximum, and may miss some of two at once */
};

_Static_assert(sizeof(struct tc_entry) == 16, "what each entry costs");
_Static_assert(sizeof(struct tc_entry_more) % 8 == 0, "what precedes it is aligned");

/* An entry that left the table, until it is freed, keeps two numbers in the last bytes of what was the eviction
 * policy's node, all but the first of them: its cell's, and that of the next one among those that wait for readers. */
#define TC_ENTRY_NODE_LEAST sizeof(struct tc_cell_pair)

static inline struct tc_cell_pair *tc_entry_left(const struct tc_entry *e)
{
    return (struct tc_cell_pair *)(void *)((char *)(uintptr_t)e - sizeof(struct tc_cell_pair));
}

static inline void *tc_entry_node(struct tc_entry *e, size_t node_bytes)
{
    return (char *)e - node_bytes;
}

static inline struct tc_entry *tc_entry_of_node(void *node, size_t node_bytes)
{
    return (struct tc_entry *)(void *)((char *)node + node_bytes);
}

/* TC_ENTRY_FLAGS of it. */
static inline uint32_t tc_entry_flags(const struct tc_entry *e)
{
    return atomic_load_explicit(&e->refs, memory_order_relaxed) & TC_ENTRY_FLAGS;
}

/* Before it is published. */
static inline void tc_entry_add_flags(struct tc_entry *e, uint32_t flags)
{
    atomic_store_explicit(&e->refs, atomic_load_explicit(&e->refs, memory_order_relaxed) | flags, memory_order_relaxed);
}

/* Only with TC_ENTRY_MORE. */
static inline struct tc_entry_more *tc_entry_more(const struct tc_entry *e)
{
    return (struct tc_entry_more *)(void *)((char *)(uintptr_t)e + sizeof *e);
}

/* The value lies in a frame. */
static inline bool tc_entry_is_framed(const struct tc_entry *e)
{
    return tc_entry_flags(e) & TC_ENTRY_MORE && tc_entry_more(e)->frame != NULL;
}

static inline uint32_t tc_sizes(uint32_t type_id, size_t key_len, size_t len)
{
    return type_id << 24 | (uint32_t)key_len << 16 | (uint32_t)len;
}

static inline size_t tc_sizes_len(uint32_t sizes)
{
    return sizes & TC_ENTRY_LEN_MOST;
}

static inline size_t tc_sizes_key_len(uint32_t sizes)
{
    return sizes >> 16 & TC_ENTRY_KEY_MOST;
}

/* Words that others may overwrite: with acquire, so that a version read afterwards tells. */
static inline uint32_t tc_entry_sizes(const struct tc_entry *e)
{
    return atomic_load_explicit(&e->sizes, memory_order_acquire);
}

static inline uint64_t tc_entry_times(const struct tc_entry *e)
{
    return atomic_load_explicit(&e->times, memory_order_acquire);
}

static inline uint32_t tc_entry_type_id(const struct tc_entry *e)
{
    return tc_entry_sizes(e) >> 24;
}

static inline size_t tc_entry_plain_len(const struct tc_entry *e)
{
    return tc_sizes_len(tc_entry_sizes(e));
}

/* Of an entry without more. */
static inline unsigned char *tc_entry_plain_key(const struct tc_entry *e)
{
    return (unsigned char *)(uintptr_t)e + sizeof *e;
}

static inline struct cache_slice tc_entry_key(const struct tc_entry *e)
{
    if (tc_entry_flags(e) & TC_ENTRY_MORE)
        return (struct cache_slice){ (unsigned char *)(tc_entry_more(e) + 1), tc_entry_more(e)->key_len };
    return (struct cache_slice){ tc_entry_plain_key(e), tc_sizes_key_len(tc_entry_sizes(e)) };
}

/* The value begins with a whole word. */
static inline unsigned char *tc_entry_plain_value(const struct tc_entry *e, uint32_t sizes)
{
    return tc_entry_plain_key(e) + tc_words_round(tc_sizes_key_len(sizes));
}

static inline struct cache_slice tc_entry_value(const struct tc_entry *e)
{
    if (tc_entry_flags(e) & TC_ENTRY_MORE)
        return (struct cache_slice){ tc_entry_more(e)->data, tc_entry_more(e)->len };
    uint32_t sizes = tc_entry_sizes(e);
    return (struct cache_slice){ tc_entry_plain_value(e, sizes), tc_sizes_len(sizes) };
}

static inline const unsigned char *tc_entry_data(const struct tc_entry *e)
{
    return tc_entry_value(e).data;
}

static inline size_t tc_entry_len(const struct tc_entry *e)
{
    return tc_entry_value(e).len;
}

static inline uint64_t tc_entry_hash(const struct tc_entry *e, const struct tc_hasher *h)
{
    if (tc_entry_flags(e) & TC_ENTRY_MORE)
        return tc_entry_more(e)->hash;
    return h->hash(h->ctx, tc_entry_plain_key(e), tc_sizes_key_len(tc_entry_sizes(e)));
}

/* ---- times ---- */

#define TC_ENTRY_LIFE_BITS 28 /* three days */

/* Whether an entry without more can say that it lives that long from then; a negative life is for ever. */
static inline bool tc_entry_can_say(int64_t now_ms, int64_t life_ms)
{
    return life_ms < 0 || (life_ms >> TC_ENTRY_LIFE_BITS == 0 && now_ms + life_ms < INT64_C(1) << 36);
}

/* The times of an entry without any flag. */
static inline uint64_t tc_times(int64_t now_ms, int64_t life_ms)
{
    return (uint64_t)(now_ms + life_ms) << TC_ENTRY_LIFE_BITS | (uint64_t)life_ms;
}

static inline int64_t tc_times_until_ms(uint64_t times)
{
    return (int64_t)(times >> TC_ENTRY_LIFE_BITS);
}

static inline int64_t tc_times_life_ms(uint64_t times)
{
    return (int64_t)(times & ((UINT64_C(1) << TC_ENTRY_LIFE_BITS) - 1));
}

/* Of an entry without any flag. */
static inline int64_t tc_entry_plain_until_ms(const struct tc_entry *e)
{
    return tc_times_until_ms(tc_entry_times(e));
}

static inline int64_t tc_entry_fresh_until_ms(const struct tc_entry *e)
{
    if (tc_entry_flags(e) & TC_ENTRY_MORE)
        return tc_entry_more(e)->fresh_until_ms;
    if (tc_entry_flags(e) & TC_ENTRY_FOREVER)
        return TC_NEVER_MS;
    return tc_entry_plain_until_ms(e);
}

static inline int64_t tc_entry_made_ms(const struct tc_entry *e)
{
    if (tc_entry_flags(e) & TC_ENTRY_MORE)
        return tc_entry_more(e)->made_ms;
    if (tc_entry_flags(e) & TC_ENTRY_FOREVER)
        return (int64_t)tc_entry_times(e);
    uint64_t times = tc_entry_times(e);
    return tc_times_until_ms(times) - tc_times_life_ms(times);
}

static inline int64_t tc_entry_taken_ms(const struct tc_entry *e)
{
    return tc_entry_flags(e) & TC_ENTRY_MORE ? tc_entry_more(e)->taken_ms : tc_entry_made_ms(e);
}

/* t: its type. */
static inline int64_t tc_entry_keep_until_ms(const struct tc_entry *e, const struct cache_type *t)
{
    if (tc_entry_flags(e) & TC_ENTRY_MORE)
        return tc_entry_more(e)->keep_until_ms;
    int64_t fresh_ms = tc_entry_fresh_until_ms(e);
    return fresh_ms != TC_NEVER_MS ? fresh_ms + tc_type_max_stale_ms(t) : TC_NEVER_MS;
}

/* Made and taken now, for life_ms or, with a negative one, for ever; then stale for max_stale_ms, which is what its
 * type says. Before it is published. Without more it must be able to say so. */
void tc_entry_set_life(struct tc_entry *e, int64_t now_ms, int64_t life_ms, int64_t max_stale_ms);

/* ---- reading what may be overwritten ---- */

/* An entry as a look-up without the lock found it: refs and then sizes were read with acquire, before the key was
 * compared. */
struct tc_entry_seen {
    struct tc_entry *e;
    uint32_t refs, sizes;
};

/* What a reader without pin and lock copies of an entry that was seen without a flag and not TC_ENTRY_WRITING. The
 * value goes to buf, if it is fresh and cap is enough: else false. Also false: it was overwritten meanwhile, and buf
 * holds anything. key_len is what sizes say: who knows it otherwise need not wait for these to come. */
struct tc_entry_taken {
    uint64_t times;
    size_t len;
};
static inline __attribute__((always_inline)) bool tc_entry_take(const struct tc_entry_seen *seen, size_t key_len,
                                                                void *buf, size_t cap, int64_t now_ms,
                                                                struct tc_entry_taken *t)
{
    const struct tc_entry *e = seen->e;
    const unsigned char *value = tc_entry_plain_key(e) + tc_words_round(key_len);
    t->times = tc_entry_times(e);
    t->len = tc_sizes_len(seen->sizes);
    if (__builtin_expect(t->len > cap || now_ms >= tc_times_until_ms(t->times), 0))
        return false;
    if (t->len <= TC_ENTRY_OVERWRITTEN_MOST && seen->refs & TC_ENTRY_HOUSED) /* whole words are there */
        tc_words_load(buf, value, t->len);
    else if (t->len > 0)
        memcpy(buf, value, t->len);
    uint32_t after = atomic_load_explicit(&e->refs, memory_order_relaxed);
    return __builtin_expect(((seen->refs ^ after) & TC_ENTRY_VERSIONS) == 0, 1);
}

/* ---- making ---- */

/* node_bytes is a multiple of 8, TC_ENTRY_NODE_LEAST or more. Makes an entry with room for len bytes of value, to be
 * written to tc_entry_room() before it is published; one reference is the caller's; no expiry is set. NULL when out of
 * memory or when the sizes are not to be expressed. open: with more; open_small: if it must. */
struct tc_entry *tc_entry_open(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                               struct cache_slice key, size_t len);
struct tc_entry *tc_entry_open_small(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                                     struct cache_slice key, size_t len);
unsigned char *tc_entry_room(struct tc_entry *e);

/* Without more, in memory of the caller's, 8-byte aligned, of cap bytes: NULL where they are not enough, or it needs
 * more. It is lent: L1 copies it, and no reference outlives the memory. */
struct tc_entry *tc_entry_lend(void *memory, size_t cap, size_t node_bytes, struct cache_type *t,
                               struct cache_slice key, size_t len);

/* Whether key and value are short enough for an entry without more. */
static inline bool tc_entry_fits_small(size_t key_len, size_t len)
{
    return key_len > 0 && key_len <= TC_ENTRY_KEY_MOST && len <= TC_ENTRY_LEN_MOST;
}

/* Bytes of an entry in its own memory, the node's included; a frame is another's. */
static inline size_t tc_entry_bytes_for(size_t node_bytes, uint32_t flags, size_t key_len, size_t room)
{
    size_t more = flags & TC_ENTRY_MORE ? sizeof(struct tc_entry_more) : 0;
    return node_bytes + sizeof(struct tc_entry) + more + tc_words_round(key_len) + room;
}
static inline size_t tc_entry_own_bytes(const struct tc_entry *e, size_t node_bytes)
{
    uint32_t flags = tc_entry_flags(e);
    if (!(flags & TC_ENTRY_MORE)) {
        uint32_t sizes = tc_entry_sizes(e);
        return tc_entry_bytes_for(node_bytes, flags, tc_sizes_key_len(sizes), tc_sizes_len(sizes));
    }
    const struct tc_entry_more *more = tc_entry_more(e);
    return tc_entry_bytes_for(node_bytes, flags, more->key_len, more->frame != NULL ? 0 : more->len);
}

/* The same of a copy, which has no frame. */
static inline size_t tc_entry_copied_bytes(const struct tc_entry *e, size_t node_bytes)
{
    size_t own = tc_entry_own_bytes(e, node_bytes);
    return tc_entry_is_framed(e) ? own + tc_entry_more(e)->len : own;
}

/* A value that is stored as it is told: made now, of life_ms (negative: for ever), without more. */
struct tc_entry_parts {
    uint64_t hash; /* of the key */
    struct cache_slice key, value; /* zeros follow the key up to the next whole word */
    int64_t now_ms, life_ms;
    uint32_t type_id;
};
/* Makes an entry in memory of tc_entry_bytes_for() bytes, 8-byte aligned, with one reference and those flags of it. */
struct tc_entry *tc_entry_make(void *memory, size_t node_bytes, uint32_t refs_flags, const struct tc_entry_parts *p);
/* A copy in memory of tc_entry_copied_bytes(), 8-byte aligned, with one reference and those flags of it. The node is
 * zeroed. */
struct tc_entry *tc_entry_copy(void *memory, uint32_t refs_flags, const struct tc_entry *e, size_t node_bytes);

/* A copy in memory of its own, with one reference. NULL when out of memory. */
struct tc_entry *tc_entry_copy_alone(const struct tc_alloc *a, size_t node_bytes, const struct tc_entry *e);
/* A copy of an entry, with more. NULL when out of memory. */
struct tc_entry *tc_entry_widen(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                                const struct tc_entry *e);

/* Makes an entry whose value lies inside frame, which it owns from then on (not if this returns NULL). */
struct tc_entry *tc_entry_adopt(const struct tc_alloc *a, size_t node_bytes, struct cache_type *t, uint64_t hash,
                                struct cache_slice key, void *frame, size_t frame_len, struct cache_slice value);

/* No reference is left; e may be NULL. */
void tc_entry_free(const struct tc_alloc *a, size_t node_bytes, struct tc_entry *e);

/* ---- references ---- */

/* What it counts for in the memory limit. */
size_t tc_entry_bytes_alone(const struct tc_alloc *a, const struct tc_entry *e, size_t node_bytes); /* in its own */
/* Of one that is housed as refs say. */
static inline size_t tc_entry_housed_bytes(uint32_t refs, size_t own_bytes)
{
    return (refs & TC_ENTRY_IN_EXTENT) == TC_ENTRY_IN_EXTENT ? tc_extents_round(own_bytes) : tc_slab_round(own_bytes);
}
static inline size_t tc_entry_bytes(const struct tc_alloc *a, const struct tc_entry *e, size_t node_bytes)
{
    uint32_t refs = atomic_load_explicit(&e->refs, memory_order_relaxed);
    if (refs & TC_ENTRY_HOUSED)
        return tc_entry_housed_bytes(refs, tc_entry_own_bytes(e, node_bytes));
    return tc_entry_bytes_alone(a, e, node_bytes);
}

static inline bool tc_entry_is_in_l1(const struct tc_entry *e)
{
    return atomic_load_explicit(&e->refs, memory_order_acquire) & TC_ENTRY_IN_L1;
}

/* With the stripe's lock, before it leaves the table: who overwrites it without the lock learns from this that his
 * value did not stay. False: somebody does, and is not through, or was through a moment ago. */
static inline bool tc_entry_begin_to_leave(struct tc_entry *e)
{
    return !(atomic_fetch_and(&e->refs, ~TC_ENTRY_IN_L1) & TC_ENTRY_WRITING);
}

static inline bool tc_entry_refs_are_lent(uint32_t refs)
{
    return (refs & TC_ENTRY_IN_EXTENT) == TC_ENTRY_LENT;
}

static inline bool tc_entry_is_lent(const struct tc_entry *e)
{
    return tc_entry_refs_are_lent(atomic_load_explicit(&e->refs, memory_order_relaxed));
}

#endif
