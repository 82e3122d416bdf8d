/* Looking up, with the lock and without it; and changing the table, which is changing the next one too where an entry
 * was copied there already. When a table grows: index_grow.c. */
#include <string.h>

#include "tier/l1/index_lanes.h"

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

/* ---- lanes ---- */

TC_APART size_t tc_lanes_count_at(const struct tc_index *x, const struct tc_buckets *t, size_t home,
                                  size_t distance)
{
    struct tc_index_walk w = tc_index_walk(t->n, home);
    for (size_t i = 0; i < distance; i++)
        tc_index_go_on(&w);
    struct tc_bucket *b = &t->first[w.at];
    size_t n = 0;
    for (unsigned lane = 0; lane < TC_INDEX_LANES; lane++)
        n += tc_bucket_is_stranger(b, lane) && tc_lanes_home(t, tc_lanes_hash(x, tc_bucket_cell(b, lane))) == home;
    return n;
}

/* ---- the next table ---- */

static inline bool is_copied(const struct tc_index *x, const struct tc_bucket *b)
{
    return __builtin_expect(x->copied > 0, 0) && (size_t)(b - tc_index_bucket(x, 0)) < x->copied;
}

/* Without a lane for it the table will not do, and what is in it is of no interest any more. */
static TC_APART void add_to_next(struct tc_index *x, uint32_t cell, uint64_t hash, uint8_t code)
{
    struct tc_index_gap gap;
    if (tc_lanes_find_gap(&x->next, tc_lanes_home(&x->next, hash), &gap)) {
        tc_lanes_fill(&x->next, &gap, cell, hash, code);
        return;
    }
    x->next_failed = true;
    x->copied = 0;
}

static TC_APART void remove_from_next(struct tc_index *x, uint32_t cell, uint64_t hash)
{
    tc_lanes_remove(x, &x->next, cell, hash);
}

static TC_APART void set_in_next(struct tc_index *x, uint32_t old, uint64_t hash, uint32_t cell, uint8_t code)
{
    struct tc_index_gap p = tc_lanes_place_of(&x->next, hash, old);
    tc_bucket_set_cell(p.at.bucket, p.at.lane, cell);
    tc_field_set(tc_bucket_code(p.at.bucket, p.at.lane), code);
}

/* ---- coming and going ---- */

uint32_t tc_index_find_or_gap(const struct tc_index *x, uint64_t hash, struct cache_slice key, bool thrift,
                              struct tc_index_gap *gap)
{
    gap->at.bucket = NULL;
    if (x->n == 0)
        return 0;
    struct tc_buckets t = tc_lanes_of(x);
    bool seeks = x->next.n == 0 && !tc_lanes_are_full(x, thrift);
    struct tc_index_walk w = tc_index_walk(t.n, tc_lanes_home(&t, hash));
    size_t reach = tc_bucket_reach(&t.first[w.at]), end = seeks ? tc_lanes_farthest(&t) : reach;
    for (size_t distance = 0; distance <= end; distance++, tc_index_go_on(&w)) {
        struct tc_bucket *b = &t.first[w.at];
        for (tc_lanes m = tc_bucket_lanes_with(b, tc_index_tag(hash)); m != 0; m &= m - 1) {
            struct tc_index_at here = { b, tc_bucket_lane_of(m) };
            uint32_t cell = tc_bucket_cell(b, here.lane), refs;
            if (tc_index_entry_of(x->view, cell, key, &refs) != NULL) {
                *gap = (struct tc_index_gap){ here, distance };
                return cell;
            }
        }
        if (seeks && tc_lanes_gap_in(b, distance, gap)) {
            if (!thrift && tc_lanes_exceed(x, 8) && tc_lanes_is_far(x, distance))
                gap->at.bucket = NULL;
            seeks = false;
            end = reach;
        }
    }
    return 0;
}

void tc_index_fill(struct tc_index *x, const struct tc_index_gap *gap, uint32_t cell, uint64_t hash, uint8_t code)
{
    struct tc_buckets t = tc_lanes_of(x);
    tc_lanes_fill(&t, gap, cell, hash, code);
    x->count++;
    if (is_copied(x, gap->at.bucket))
        add_to_next(x, cell, hash, code);
}

void tc_index_insert(struct tc_index *x, uint32_t cell, uint64_t hash, uint8_t code)
{
    struct tc_buckets t = tc_lanes_of(x);
    struct tc_index_gap gap;
    bool found = tc_lanes_find_gap(&t, tc_lanes_home(&t, hash), &gap);
    tc_assert(found);
    if (found)
        tc_index_fill(x, &gap, cell, hash, code);
}

void tc_index_remove_of(struct tc_index *x, uint32_t cell, uint64_t hash)
{
    struct tc_buckets t = tc_lanes_of(x);
    struct tc_bucket *from = tc_lanes_remove(x, &t, cell, hash);
    x->count--;
    if (is_copied(x, from))
        remove_from_next(x, cell, hash);
}

void tc_index_remove(struct tc_index *x, uint32_t cell)
{
    tc_index_remove_of(x, cell, tc_lanes_hash(x, cell));
}

void tc_index_replace_at(struct tc_index *x, const struct tc_index_at *at, uint32_t cell, uint64_t hash, uint8_t code)
{
    uint32_t old = tc_bucket_cell(at->bucket, at->lane);
    tc_bucket_set_cell(at->bucket, at->lane, cell);
    tc_field_set(tc_bucket_code(at->bucket, at->lane), code);
    if (is_copied(x, at->bucket))
        set_in_next(x, old, hash, cell, code);
}

void tc_index_move(struct tc_index *x, uint32_t from, uint32_t to)
{
    struct tc_buckets t = tc_lanes_of(x);
    uint64_t hash = tc_lanes_hash(x, from);
    struct tc_index_at at = tc_lanes_place_of(&t, hash, from).at;
    tc_index_replace_at(x, &at, to, hash, tc_field_get(tc_bucket_code(at.bucket, at.lane)));
}

void tc_index_replace(struct tc_index *x, uint32_t old, uint32_t cell, uint64_t hash, uint8_t code)
{
    struct tc_buckets t = tc_lanes_of(x);
    uint64_t old_hash = tc_lanes_hash(x, old);
    struct tc_index_gap p = tc_lanes_place_of(&t, old_hash, old);
    struct tc_index_walk w = tc_index_walk(t.n, tc_lanes_home(&t, hash));
    size_t before = p.distance;
    tc_lanes_empty(&p.at);
    for (p.distance = 0; &t.first[w.at] != p.at.bucket; p.distance++, tc_index_go_on(&w))
        tc_assert(p.distance < tc_lanes_farthest(&t));
    tc_lanes_fill(&t, &p, cell, hash, code);
    if (before > 0)
        tc_lanes_shrink_reach(x, &t, tc_lanes_home(&t, old_hash), before);
    if (is_copied(x, p.at.bucket)) {
        remove_from_next(x, old, old_hash);
        add_to_next(x, cell, hash, code);
    }
}

/* ---- the wheel's codes ---- */

uint8_t tc_index_code(const struct tc_index *x, size_t i)
{
    return tc_field_get(tc_bucket_code(tc_index_bucket(x, i / TC_INDEX_LANES), i % TC_INDEX_LANES));
}

void tc_index_set_code_at(struct tc_index *x, const struct tc_index_at *at, uint64_t hash, uint8_t code)
{
    uint32_t cell = tc_bucket_cell(at->bucket, at->lane);
    tc_field_set(tc_bucket_code(at->bucket, at->lane), code);
    if (is_copied(x, at->bucket))
        set_in_next(x, cell, hash, cell, code);
}

void tc_index_set_code(struct tc_index *x, size_t i, uint8_t code)
{
    struct tc_index_at at = { tc_index_bucket(x, i / TC_INDEX_LANES), i % TC_INDEX_LANES };
    bool copied = is_copied(x, at.bucket); /* else nobody asks for its hash */
    tc_index_set_code_at(x, &at, copied ? tc_lanes_hash(x, tc_bucket_cell(at.bucket, at.lane)) : 0, code);
}
