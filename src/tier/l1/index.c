/* Changing the table. Readers may be anywhere in it: a lane is filled before its tag says so and its tag is taken back
 * after it is emptied; who sees the one without the other compares keys and finds nothing, as if it had come a moment
 * earlier or later. */
#include <string.h>

#include "tier/l1/index.h"

#define FIRST_BUCKETS 2
#define SMALL_BUCKETS 16 /* up to there the table doubles, up to TC_INDEX_CLOSE_BUCKETS it grows by a quarter */

static struct tc_bucket *bucket(const struct tc_index *x, size_t at)
{
    return tc_index_bucket(x, at);
}

static struct tc_index_walk walk(const struct tc_index *x, size_t home)
{
    return tc_index_walk(x->n, home);
}

static size_t at_distance(const struct tc_index *x, size_t home, size_t distance)
{
    struct tc_index_walk w = walk(x, home);
    for (; distance > 0; distance--)
        tc_index_go_on(&w);
    return w.at;
}

/* A small table has fewer buckets than the reach is long. */
static size_t farthest(const struct tc_index *x)
{
    return x->n - 1 < TC_INDEX_REACH ? x->n - 1 : TC_INDEX_REACH;
}

static size_t home_of(const struct tc_index *x, uint64_t hash)
{
    return tc_index_home(hash, x->n);
}

static uint64_t hash_of(const struct tc_index *x, uint32_t cell)
{
    return tc_entry_hash(tc_index_entry(x->view, cell), &x->hasher);
}

/* ---- look-ups ---- */

TC_APART bool tc_index_is_more_key(const struct tc_entry *e, struct cache_slice key)
{
    struct cache_slice is = tc_entry_key(e);
    return is.len == key.len && (is.len == 0 || memcmp(is.data, key.data, is.len) == 0);
}

static void fetch_others(const struct tc_bucket *buckets, struct tc_index_walk w, size_t reach)
{
    for (; reach > 0; reach--) {
        tc_index_go_on(&w);
        __builtin_prefetch(&buckets[w.at]);
    }
}

static struct tc_entry *look_up(const struct tc_index_view *v, uint64_t hash, struct cache_slice key, uint32_t *refs,
                                uint32_t *cell, struct tc_index_at *where)
{
    struct tc_bucket *buckets = atomic_load_explicit(&v->buckets, memory_order_acquire);
    if (buckets == NULL)
        return NULL;
    uint64_t tag = tc_index_tag(hash);
    size_t n = tc_block_of(buckets)->n, reach = 0;
    struct tc_index_walk w = tc_index_walk(n, tc_index_home(hash, (uint32_t)n));
    for (size_t distance = 0; distance <= reach; distance++, tc_index_go_on(&w)) {
        struct tc_bucket *b = &buckets[w.at];
        if (distance == 0) {
            reach = tc_bucket_reach(b);
            fetch_others(buckets, w, reach);
        }
        for (tc_lanes m = tc_bucket_lanes_with(b, tag); m != 0; m &= m - 1) {
            unsigned lane = tc_bucket_lane_of(m);
            uint32_t found = atomic_load_explicit(&b->lanes[lane], memory_order_acquire);
            struct tc_entry *e = tc_index_entry_of(v, found, key, refs);
            if (e == NULL)
                continue;
            if (cell != NULL)
                *cell = found;
            if (where != NULL)
                *where = (struct tc_index_at){ b, lane };
            return e;
        }
    }
    return NULL;
}

struct tc_entry *tc_index_find(const struct tc_index_view *v, uint64_t hash, struct cache_slice key, uint32_t *refs)
{
    return look_up(v, hash, key, refs, NULL, NULL);
}

struct tc_entry *tc_index_find_at(const struct tc_index_view *v, uint64_t hash, struct cache_slice key, uint32_t *cell,
                                  struct tc_index_at *where)
{
    uint32_t refs;
    return look_up(v, hash, key, &refs, cell, where);
}

/* ---- memory ---- */

static struct tc_block *block_of(const struct tc_index *x)
{
    return tc_block_of(bucket(x, 0));
}

static size_t heap_bytes(const struct tc_index *x, size_t n)
{
    return n > 0 ? tc_table_heap_bytes(x->in_pages, n) : 0;
}

/* In this order: see tc_index_view. */
static void publish(struct tc_index_view *v, struct tc_bucket *buckets, size_t n)
{
    atomic_store_explicit(&v->buckets, buckets, memory_order_release);
    atomic_store_explicit(&v->n, (uint32_t)n, memory_order_release);
}

void tc_index_fini(struct tc_index *x, const struct tc_alloc *a)
{
    if (x->n > 0)
        tc_block_close(a, block_of(x));
    x->n = x->count = x->refused = 0;
    if (x->view != NULL)
        publish(x->view, NULL, 0);
}

/* Whether one more entry would fill more than so many sixteenths of all lanes. */
static bool exceeds(const struct tc_index *x, unsigned sixteenths)
{
    return (uint64_t)(x->count + 1) * 16 > (uint64_t)x->n * TC_INDEX_LANES * sixteenths;
}

static size_t larger(size_t n)
{
    return n < SMALL_BUCKETS ? n * 2 : n + n / (n > TC_INDEX_CLOSE_BUCKETS ? 8 : 4);
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
    return heap_bytes(x, x->n);
}

/* ---- lanes ---- */

static bool gap_in(struct tc_bucket *b, size_t distance, struct tc_index_gap *p)
{
    tc_lanes gaps = tc_bucket_lanes_with(b, 0);
    if (gaps != 0)
        *p = (struct tc_index_gap){ { b, tc_bucket_lane_of(gaps) }, distance };
    return gaps != 0;
}

/* The first empty lane in reach of that home. */
static bool find_gap(const struct tc_index *x, size_t home, struct tc_index_gap *p)
{
    struct tc_index_walk w = walk(x, home);
    for (size_t distance = 0; distance <= farthest(x); distance++, tc_index_go_on(&w))
        if (gap_in(bucket(x, w.at), distance, p))
            return true;
    return false;
}

/* Fourteen sixteenths: nine keys of ten still lie in their home. Where growing would drive entries out it waits until
 * looking up gets slow: the number of entries will hardly grow much more. By then a key in some thousands finds no lane
 * in reach, and takes that of another, which costs one entry and not as many as a larger table would. */
#define FULL 14
#define CRAMMED 15

static bool wants_growth(const struct tc_index *x, uint64_t hash, bool thrift)
{
    struct tc_index_gap gap;
    if (x->n == 0)
        return true;
    if (next_n(x) > 2 * (size_t)x->n) /* these keys do not go into tables: see tc_index_make_room() */
        return false;
    if (thrift)
        return exceeds(x, CRAMMED);
    return exceeds(x, FULL) || (exceeds(x, 8) && !find_gap(x, home_of(x, hash), &gap));
}

size_t tc_index_growth_bytes(const struct tc_index *x, uint64_t hash, bool thrift)
{
    return wants_growth(x, hash, thrift) ? heap_bytes(x, next_n(x)) - heap_bytes(x, x->n) : 0;
}

static struct tc_index_gap place_of(const struct tc_index *x, uint64_t hash, uint32_t cell)
{
    struct tc_index_walk w = walk(x, home_of(x, hash));
    for (size_t distance = 0;; distance++, tc_index_go_on(&w)) {
        tc_assert(distance <= farthest(x));
        struct tc_bucket *b = bucket(x, w.at);
        tc_lanes m = tc_bucket_lanes_with(b, tc_index_tag(hash));
        for (; m != 0; m &= m - 1)
            if (tc_bucket_cell(b, tc_bucket_lane_of(m)) == cell)
                return (struct tc_index_gap){ { b, tc_bucket_lane_of(m) }, distance };
    }
}

static void fill_lane(struct tc_index *x, const struct tc_index_gap *p, uint32_t cell, uint64_t hash, uint8_t code)
{
    struct tc_bucket *b = p->at.bucket, *home = bucket(x, home_of(x, hash));
    tc_bucket_set_cell(b, p->at.lane, cell);
    tc_field_set(tc_bucket_code(b, p->at.lane), code);
    tc_field_set(tc_bucket_tag(b, p->at.lane), tc_index_tag(hash));
    if (p->distance == 0)
        return;
    tc_bucket_set_bits(&b->more, 1, TC_INDEX_STRANGERS_SHIFT + p->at.lane, 1);
    size_t reach = tc_bucket_reach(home), n = tc_bucket_at_reach(home);
    if (p->distance > reach) {
        reach = p->distance;
        n = 0;
    }
    tc_bucket_set_reach(home, reach, n + (p->distance == reach), tc_bucket_away(home) + 1);
}

/* Entries of that home at that distance, which is not 0. To look at all the others of that bucket takes a while. */
static TC_APART size_t count_at(const struct tc_index *x, size_t home, size_t distance)
{
    struct tc_bucket *b = bucket(x, at_distance(x, home, distance));
    size_t n = 0;
    for (unsigned lane = 0; lane < TC_INDEX_LANES; lane++)
        n += tc_bucket_is_stranger(b, lane) && home_of(x, hash_of(x, tc_bucket_cell(b, lane))) == home;
    return n;
}

/* One at that distance from its home left, which is not 0. When the last of the farthest has gone the others are
 * counted, unless it is plain where they are. */
static void shrink_reach(struct tc_index *x, size_t home, size_t distance)
{
    struct tc_bucket *b = bucket(x, home);
    size_t away = tc_bucket_away(b) - 1, reach = tc_bucket_reach(b), n = tc_bucket_at_reach(b);
    if (distance == reach && --n == 0) {
        reach = away > 0 ? reach - 1 : 0;
        while (reach > 1 && (n = count_at(x, home, reach)) == 0)
            reach--;
        if (reach == 1)
            n = away;
    }
    tc_bucket_set_reach(b, reach, n, away);
}

uint32_t tc_index_find_or_gap(const struct tc_index *x, uint64_t hash, struct cache_slice key, bool thrift,
                              struct tc_index_gap *gap)
{
    gap->at.bucket = NULL;
    if (x->n == 0)
        return 0;
    bool seeks = !exceeds(x, thrift ? CRAMMED : FULL);
    struct tc_index_walk w = walk(x, home_of(x, hash));
    size_t reach = tc_bucket_reach(bucket(x, w.at)), end = seeks ? farthest(x) : reach;
    for (size_t distance = 0; distance <= end; distance++, tc_index_go_on(&w)) {
        struct tc_bucket *b = bucket(x, w.at);
        for (tc_lanes m = tc_bucket_lanes_with(b, tc_index_tag(hash)); m != 0; m &= m - 1) {
            struct tc_index_at here = { b, tc_bucket_lane_of(m) };
            uint32_t cell = tc_bucket_cell(b, here.lane), refs;
            if (tc_index_entry_of(x->view, cell, key, &refs) != NULL) {
                *gap = (struct tc_index_gap){ here, distance };
                return cell;
            }
        }
        if (seeks && gap_in(b, distance, gap)) {
            seeks = false;
            end = reach;
        }
    }
    return 0;
}

void tc_index_fill(struct tc_index *x, const struct tc_index_gap *gap, uint32_t cell, uint64_t hash, uint8_t code)
{
    fill_lane(x, gap, cell, hash, code);
    x->count++;
}

void tc_index_insert(struct tc_index *x, uint32_t cell, uint64_t hash, uint8_t code)
{
    struct tc_index_gap gap;
    bool found = find_gap(x, home_of(x, hash), &gap);
    tc_assert(found);
    if (found)
        tc_index_fill(x, &gap, cell, hash, code);
}

static void empty_lane(const struct tc_index_at *at)
{
    tc_bucket_set_cell(at->bucket, at->lane, 0);
    tc_field_set(tc_bucket_tag(at->bucket, at->lane), 0);
    tc_bucket_set_bits(&at->bucket->more, 1, TC_INDEX_STRANGERS_SHIFT + at->lane, 0);
    tc_field_set(tc_bucket_code(at->bucket, at->lane), 0);
}

void tc_index_remove_of(struct tc_index *x, uint32_t cell, uint64_t hash)
{
    struct tc_index_gap p = place_of(x, hash, cell);
    empty_lane(&p.at);
    if (p.distance > 0)
        shrink_reach(x, home_of(x, hash), p.distance);
    x->count--;
}

void tc_index_remove(struct tc_index *x, uint32_t cell)
{
    tc_index_remove_of(x, cell, hash_of(x, cell));
}

void tc_index_replace_at(const struct tc_index_at *at, uint32_t cell, uint8_t code)
{
    tc_bucket_set_cell(at->bucket, at->lane, cell);
    tc_field_set(tc_bucket_code(at->bucket, at->lane), code);
}

void tc_index_move(struct tc_index *x, uint32_t from, uint32_t to)
{
    struct tc_index_gap p = place_of(x, hash_of(x, from), from);
    tc_bucket_set_cell(p.at.bucket, p.at.lane, to);
}

void tc_index_replace(struct tc_index *x, uint32_t old, uint32_t cell, uint64_t hash, uint8_t code)
{
    uint64_t old_hash = hash_of(x, old);
    struct tc_index_gap p = place_of(x, old_hash, old);
    struct tc_index_walk w = walk(x, home_of(x, hash));
    size_t before = p.distance;
    empty_lane(&p.at);
    for (p.distance = 0; bucket(x, w.at) != p.at.bucket; p.distance++, tc_index_go_on(&w))
        tc_assert(p.distance < farthest(x));
    fill_lane(x, &p, cell, hash, code);
    if (before > 0)
        shrink_reach(x, home_of(x, old_hash), before);
}

uint8_t tc_index_code(const struct tc_index *x, size_t i)
{
    return tc_field_get(tc_bucket_code(bucket(x, i / TC_INDEX_LANES), i % TC_INDEX_LANES));
}

void tc_index_set_code(struct tc_index *x, size_t i, uint8_t code)
{
    tc_field_set(tc_bucket_code(bucket(x, i / TC_INDEX_LANES), i % TC_INDEX_LANES), code);
}

void tc_index_set_code_at(const struct tc_index_at *at, uint8_t code)
{
    tc_field_set(tc_bucket_code(at->bucket, at->lane), code);
}

/* ---- growing ---- */

#define AHEAD 24 /* lanes: as many entries are on their way from memory while the hash of one is computed */

static bool refill(struct tc_index *to, const struct tc_index *from)
{
    for (size_t i = 0; i < tc_index_lanes(from); i++) {
        uint32_t cell = tc_index_cell(from, i);
        struct tc_index_gap gap;
        if (i + AHEAD < tc_index_lanes(from))
            tc_index_prefetch_cell(from->view, tc_index_cell(from, i + AHEAD));
        if (cell == 0)
            continue;
        uint64_t hash = hash_of(from, cell);
        if (!find_gap(to, home_of(to, hash), &gap))
            return false;
        fill_lane(to, &gap, cell, hash, tc_index_code(from, i));
        to->count++;
    }
    return true;
}

static struct tc_block *grow(struct tc_index *x, const struct tc_alloc *a, bool *grown)
{
    *grown = false;
    struct tc_block *b = tc_block_open_table(a, next_n(x));
    if (b == NULL)
        return NULL;
    struct tc_index_view view = { .n = 0 };
    publish(&view, tc_block_lines(b), b->n);
    struct tc_index bigger = { .view = &view, .n = (uint32_t)b->n };
    if (x->n > 0 && !refill(&bigger, x)) {
        x->refused = (uint32_t)b->n;
        tc_block_close(a, b);
        return NULL;
    }
    struct tc_block *before = x->n > 0 ? block_of(x) : NULL;
    x->n = (uint32_t)b->n;
    x->refused = 0;
    publish(x->view, tc_block_lines(b), b->n);
    *grown = true;
    return before;
}

/* An entry in a lane that a look-up of that hash may examine; 0: they are all empty. */
static uint32_t first_in_reach(const struct tc_index *x, uint64_t hash)
{
    struct tc_index_walk w = walk(x, home_of(x, hash));
    for (size_t distance = 0; distance <= farthest(x); distance++, tc_index_go_on(&w))
        for (unsigned lane = 0; lane < TC_INDEX_LANES; lane++) {
            uint32_t cell = tc_bucket_cell(bucket(x, w.at), lane);
            if (cell != 0)
                return cell;
        }
    return 0;
}

/* Without memory to grow: one more entry would leave no lane empty. */
static bool is_crammed(const struct tc_index *x)
{
    return (size_t)x->count + 1 >= tc_index_lanes(x);
}

uint32_t tc_index_make_room(struct tc_index *x, const struct tc_alloc *a, uint64_t hash, bool thrift,
                            uint64_t *grown_bytes, struct tc_block **before, bool *failed)
{
    uint64_t growth = tc_index_growth_bytes(x, hash, thrift);
    bool grown = false;
    struct tc_index_gap gap;
    *before = NULL;
    if (wants_growth(x, hash, thrift)) /* which may cost nothing: blocks are of whole pages */
        *before = grow(x, a, &grown);
    if (grown)
        *grown_bytes += growth;
    *failed = x->n == 0;
    if (x->n == 0 || (!is_crammed(x) && find_gap(x, home_of(x, hash), &gap)))
        return 0;
    return first_in_reach(x, hash);
}

/* ---- check ---- */

static bool check_bucket(const struct tc_index *x, size_t at, size_t *entries)
{
    struct tc_bucket *b = bucket(x, at);
    for (unsigned lane = 0; lane < TC_INDEX_LANES; lane++) {
        uint32_t cell = tc_bucket_cell(b, lane);
        uint64_t hash = cell != 0 ? hash_of(x, cell) : 0;
        if (tc_field_get(tc_bucket_tag(b, lane)) != (cell != 0 ? tc_index_tag(hash) : 0))
            return false;
        if (tc_bucket_is_stranger(b, lane) != (cell != 0 && home_of(x, hash) != at))
            return false;
        if (cell != 0 && place_of(x, hash, cell).at.bucket != b)
            return false;
        *entries += cell != 0;
    }
    size_t reach = 0, last = 0, away = 0;
    for (size_t distance = 1; distance <= farthest(x); distance++) {
        size_t there = count_at(x, at, distance);
        away += there;
        if (there > 0) {
            reach = distance;
            last = there;
        }
    }
    return reach == tc_bucket_reach(b) && last == tc_bucket_at_reach(b) && away == tc_bucket_away(b);
}

bool tc_index_check(const struct tc_index *x)
{
    size_t entries = 0;
    for (size_t at = 0; at < x->n; at++)
        if (!check_bucket(x, at, &entries))
            return false;
    return entries == x->count;
}
