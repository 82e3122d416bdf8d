/* Changing the table. Readers may be anywhere in it: a lane is filled before its tag says so and its tag is taken back
 * after it is emptied; who sees the one without the other compares keys and finds nothing, as if it had come a moment
 * earlier or later. */
#include <string.h>

#include "tier/l1/index.h"

#define FIRST_BUCKETS 2
#define SMALL_BUCKETS 16 /* up to there the table doubles, then it grows by a quarter */
#define MANTISSA_MAX 2047
#define REACH_SHIFT 56

static struct tc_bucket *bucket(const struct tc_index *x, size_t at)
{
    return tc_index_buckets(atomic_load_explicit(&x->table, memory_order_relaxed)) + at;
}

static size_t home_of(const struct tc_index *x, uint64_t hash)
{
    return tc_index_home(hash, x->n);
}

static size_t wrap(const struct tc_index *x, size_t at)
{
    return at < x->n ? at : at - x->n;
}

/* A small table has fewer buckets than the reach is long. */
static size_t farthest(const struct tc_index *x)
{
    return x->n - 1 < TC_INDEX_REACH ? x->n - 1 : TC_INDEX_REACH;
}

static uint64_t tags_of(const struct tc_bucket *b)
{
    return atomic_load_explicit(&b->tags, memory_order_relaxed);
}

static void set_tag(struct tc_bucket *b, unsigned lane, uint64_t tag)
{
    uint64_t tags = tags_of(b) & ~(UINT64_C(0xFF) << 8 * lane);
    atomic_store_explicit(&b->tags, tags | tag << 8 * lane, memory_order_release);
}

static size_t reach_of(const struct tc_bucket *b)
{
    return (size_t)(tags_of(b) >> REACH_SHIFT);
}

static void set_reach(struct tc_bucket *b, size_t reach)
{
    uint64_t tags = tags_of(b) & ~(UINT64_C(0xFF) << REACH_SHIFT);
    atomic_store_explicit(&b->tags, tags | (uint64_t)reach << REACH_SHIFT, memory_order_release);
}

static uint64_t lane_of(const struct tc_bucket *b, unsigned lane)
{
    return atomic_load_explicit(&b->lanes[lane], memory_order_relaxed);
}

static void set_lane(struct tc_bucket *b, unsigned lane, const struct tc_entry *e, size_t distance, uint16_t code)
{
    uint64_t v = (uint64_t)(uintptr_t)e | distance | (uint64_t)code << TC_INDEX_CODE_SHIFT;
    atomic_store_explicit(&b->lanes[lane], v, memory_order_release);
}

struct tc_entry *tc_index_find(const struct tc_index *x, uint64_t hash, struct cache_slice key)
{
    return tc_index_find_here(x, hash, key);
}

/* ---- memory ---- */

/* Numbers of buckets are an 11-bit number shifted: the next of these from n on. */
static size_t round_up(size_t n)
{
    unsigned shift = 0;
    while ((n + (((size_t)1 << shift) - 1)) >> shift > MANTISSA_MAX)
        shift++;
    return ((n + (((size_t)1 << shift) - 1)) >> shift) << shift;
}

/* False: the address does not fit into the word. No system that this runs on gives such to a process unasked. */
static bool pack(const struct tc_table *t, uint64_t *table)
{
    uint64_t address = (uint64_t)(uintptr_t)t + sizeof(struct tc_bucket), shift = 0;
    while (t->n >> shift > MANTISSA_MAX)
        shift++;
    *table = address | (uint64_t)(t->n >> shift) << 53 | shift << 48;
    return tc_index_buckets(address) == (struct tc_bucket *)(uintptr_t)address;
}

static struct tc_table *table_of(const struct tc_index *x)
{
    return (struct tc_table *)(void *)(bucket(x, 0) - 1);
}

static size_t heap_bytes(size_t n)
{
    return n > 0 ? tc_entry_heap_bytes((n + 1) * sizeof(struct tc_bucket) + TC_ALLOC_LINES_EXTRA) : 0;
}

void tc_index_free_table(struct tc_table *t, const struct tc_alloc *a)
{
    tc_free_lines(a, t, tc_index_table_bytes(t));
}

void tc_index_fini(struct tc_index *x, const struct tc_alloc *a)
{
    if (x->n > 0)
        tc_index_free_table(table_of(x), a);
    x->n = x->count = x->refused = 0;
    atomic_store_explicit(&x->table, 0, memory_order_relaxed);
}

/* Whether one more entry would fill more than so many sixteenths of all lanes. */
static bool exceeds(const struct tc_index *x, unsigned sixteenths)
{
    return (uint64_t)(x->count + 1) * 16 > (uint64_t)x->n * TC_INDEX_LANES * sixteenths;
}

static size_t larger(size_t n)
{
    return n < SMALL_BUCKETS ? n * 2 : round_up(n + n / 4);
}

/* The size to grow to: not one in which these entries did not find their lanes. */
static size_t next_n(const struct tc_index *x)
{
    size_t n = x->n == 0 ? FIRST_BUCKETS : larger(x->n);
    while (n <= x->refused)
        n = larger(n);
    return n;
}

size_t tc_index_bytes(const struct tc_index *x)
{
    return heap_bytes(x->n);
}

/* ---- lanes ---- */

struct place {
    struct tc_bucket *bucket;
    unsigned lane;
    size_t distance;
};

/* The first empty lane in reach of that home. */
static bool find_gap(const struct tc_index *x, size_t home, struct place *p)
{
    for (size_t distance = 0; distance <= farthest(x); distance++) {
        struct tc_bucket *b = bucket(x, wrap(x, home + distance));
        for (unsigned lane = 0; lane < TC_INDEX_LANES; lane++)
            if (lane_of(b, lane) == 0) {
                *p = (struct place){ b, lane, distance };
                return true;
            }
    }
    return false;
}

/* Thirteen sixteenths: most keys still lie in their home. Where growing would drive entries out it waits until looking
 * up gets slow: the number of entries will hardly grow much more. */
#define FULL 13
#define CRAMMED 15

static bool wants_growth(const struct tc_index *x, uint64_t hash, bool thrift)
{
    struct place gap;
    if (x->n == 0)
        return true;
    if (next_n(x) > 2 * (size_t)x->n) /* these keys do not go into tables: see tc_index_make_room() */
        return false;
    return exceeds(x, thrift ? CRAMMED : FULL) || (exceeds(x, 8) && !find_gap(x, home_of(x, hash), &gap));
}

size_t tc_index_growth_bytes(const struct tc_index *x, uint64_t hash, bool thrift)
{
    return wants_growth(x, hash, thrift) ? heap_bytes(next_n(x)) - heap_bytes(x->n) : 0;
}

static struct place place_of(const struct tc_index *x, const struct tc_entry *e)
{
    size_t home = home_of(x, e->hash);
    for (size_t distance = 0;; distance++) {
        tc_assert(distance <= farthest(x));
        struct tc_bucket *b = bucket(x, wrap(x, home + distance));
        for (unsigned lane = 0; lane < TC_INDEX_LANES; lane++)
            if (tc_index_entry(lane_of(b, lane)) == e)
                return (struct place){ b, lane, distance };
    }
}

static void fill_lane(struct tc_index *x, const struct place *p, struct tc_entry *e, uint16_t code)
{
    struct tc_bucket *home = bucket(x, home_of(x, e->hash));
    set_lane(p->bucket, p->lane, e, p->distance, code);
    set_tag(p->bucket, p->lane, tc_index_tag(e->hash));
    if (p->distance > reach_of(home))
        set_reach(home, p->distance);
}

static bool has_at(const struct tc_index *x, size_t home, size_t distance)
{
    struct tc_bucket *b = bucket(x, wrap(x, home + distance));
    for (unsigned lane = 0; lane < TC_INDEX_LANES; lane++)
        if (lane_of(b, lane) != 0 && (lane_of(b, lane) & TC_INDEX_REACH) == distance)
            return true;
    return false;
}

/* After one at that distance from its home left. */
static void shrink_reach(struct tc_index *x, size_t home, size_t distance)
{
    struct tc_bucket *b = bucket(x, home);
    if (distance == 0 || distance < reach_of(b))
        return;
    while (distance > 0 && !has_at(x, home, distance))
        distance--;
    set_reach(b, distance);
}

void tc_index_insert(struct tc_index *x, struct tc_entry *e, uint16_t code)
{
    struct place gap;
    bool found = find_gap(x, home_of(x, e->hash), &gap);
    tc_assert(found);
    (void)found;
    fill_lane(x, &gap, e, code);
    x->count++;
}

void tc_index_remove(struct tc_index *x, struct tc_entry *e)
{
    struct place p = place_of(x, e);
    set_lane(p.bucket, p.lane, NULL, 0, 0);
    set_tag(p.bucket, p.lane, 0);
    shrink_reach(x, home_of(x, e->hash), p.distance);
    x->count--;
}

void tc_index_replace(struct tc_index *x, struct tc_entry *old, struct tc_entry *e, uint16_t code)
{
    struct place p = place_of(x, old);
    size_t at = (size_t)(p.bucket - bucket(x, 0)), distance = wrap(x, at + x->n - home_of(x, e->hash));
    if (old->hash != e->hash)
        set_tag(p.bucket, p.lane, 0);
    size_t before = p.distance;
    p.distance = distance;
    tc_assert(distance <= farthest(x));
    fill_lane(x, &p, e, code);
    if (old->hash != e->hash)
        shrink_reach(x, home_of(x, old->hash), before);
}

void tc_index_set_code(struct tc_index *x, size_t i, uint16_t code)
{
    struct tc_bucket *b = bucket(x, i / TC_INDEX_LANES);
    uint64_t v = lane_of(b, i % TC_INDEX_LANES) & ~(UINT64_MAX << TC_INDEX_CODE_SHIFT);
    atomic_store_explicit(&b->lanes[i % TC_INDEX_LANES], v | (uint64_t)code << TC_INDEX_CODE_SHIFT,
                          memory_order_release);
}

/* ---- growing ---- */

static bool refill(struct tc_index *to, const struct tc_index *from)
{
    for (size_t i = 0; i < tc_index_lanes(from); i++) {
        struct tc_entry *e = tc_index_at(from, i);
        struct place gap;
        if (e == NULL)
            continue;
        if (!find_gap(to, home_of(to, e->hash), &gap))
            return false;
        fill_lane(to, &gap, e, tc_index_code(tc_index_lane(from, i)));
        to->count++;
    }
    return true;
}

static struct tc_table *grow(struct tc_index *x, const struct tc_alloc *a, bool *grown)
{
    size_t n = next_n(x);
    *grown = false;
    struct tc_table *t = tc_alloc_lines(a, (n + 1) * sizeof(struct tc_bucket));
    if (t == NULL)
        return NULL;
    t->n = n;
    uint64_t table;
    bool fits = pack(t, &table);
    struct tc_index bigger = { .table = table, .n = (uint32_t)n };
    if (!fits || (x->n > 0 && !refill(&bigger, x))) {
        x->refused = (uint32_t)n;
        tc_index_free_table(t, a);
        return NULL;
    }
    struct tc_table *before = x->n > 0 ? table_of(x) : NULL;
    x->n = (uint32_t)n;
    x->refused = 0;
    atomic_store_explicit(&x->table, table, memory_order_release);
    *grown = true;
    return before;
}

/* An entry in a lane that a look-up of that hash may examine; NULL: they are all empty. */
static struct tc_entry *first_in_reach(const struct tc_index *x, uint64_t hash)
{
    for (size_t distance = 0; distance <= farthest(x); distance++)
        for (unsigned lane = 0; lane < TC_INDEX_LANES; lane++) {
            uint64_t v = lane_of(bucket(x, wrap(x, home_of(x, hash) + distance)), lane);
            if (v != 0)
                return tc_index_entry(v);
        }
    return NULL;
}

/* Without memory to grow: one more entry would leave no lane empty. */
static bool is_crammed(const struct tc_index *x)
{
    return (size_t)x->count + 1 >= tc_index_lanes(x);
}

struct tc_entry *tc_index_make_room(struct tc_index *x, const struct tc_alloc *a, uint64_t hash, bool thrift,
                                    uint64_t *grown_bytes, struct tc_table **before, bool *failed)
{
    uint64_t growth = tc_index_growth_bytes(x, hash, thrift);
    bool grown = false;
    struct place gap;
    *before = NULL;
    if (growth > 0)
        *before = grow(x, a, &grown);
    if (grown)
        *grown_bytes += growth;
    *failed = x->n == 0;
    if (x->n == 0 || (!is_crammed(x) && find_gap(x, home_of(x, hash), &gap)))
        return NULL;
    return first_in_reach(x, hash);
}

/* ---- check ---- */

bool tc_index_check(const struct tc_index *x)
{
    size_t entries = 0;
    for (size_t at = 0; at < x->n; at++) {
        struct tc_bucket *b = bucket(x, at);
        size_t reach = 0;
        for (unsigned lane = 0; lane < TC_INDEX_LANES; lane++) {
            struct tc_entry *e = tc_index_entry(lane_of(b, lane));
            uint64_t tag = tags_of(b) >> 8 * lane & 0xFF;
            if (tag != (e != NULL ? tc_index_tag(e->hash) : 0))
                return false;
            if (e != NULL && wrap(x, home_of(x, e->hash) + (lane_of(b, lane) & TC_INDEX_REACH)) != at)
                return false;
            entries += e != NULL;
        }
        for (size_t distance = 1; distance <= farthest(x); distance++)
            if (has_at(x, at, distance))
                reach = distance;
        if (reach != reach_of(b))
            return false;
    }
    return entries == x->count;
}
