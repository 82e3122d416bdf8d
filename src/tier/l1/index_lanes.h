/* The lanes of one table, the one that is read or the one that is being filled: for index.c and index_grow.c. With the
 * stripe's lock held.
 *
 * Readers may be anywhere in it: a lane is filled before its tag says so and its tag is taken back after it is emptied;
 * who sees the one without the other compares keys and finds nothing, as if it had come a moment earlier or later. */
#ifndef TC_TIER_L1_INDEX_LANES_H
#define TC_TIER_L1_INDEX_LANES_H

#include "tier/l1/index.h"

/* The table that is read. */
static inline struct tc_buckets tc_lanes_of(const struct tc_index *x)
{
    return (struct tc_buckets){ tc_index_bucket(x, 0), x->n };
}

static inline uint64_t tc_lanes_hash(const struct tc_index *x, uint32_t cell)
{
    return tc_entry_hash(tc_index_entry(x->view, cell), &x->hasher);
}

static inline size_t tc_lanes_home(const struct tc_buckets *t, uint64_t hash)
{
    return tc_index_home(hash, t->n);
}

/* A small table has fewer buckets than the reach is long. */
static inline size_t tc_lanes_farthest(const struct tc_buckets *t)
{
    return t->n - 1 < TC_INDEX_REACH ? t->n - 1 : TC_INDEX_REACH;
}

static inline bool tc_lanes_gap_in(struct tc_bucket *b, size_t distance, struct tc_index_gap *p)
{
    tc_lanes gaps = tc_bucket_lanes_with(b, 0);
    if (gaps != 0)
        *p = (struct tc_index_gap){ { b, tc_bucket_lane_of(gaps) }, distance };
    return gaps != 0;
}

/* The first empty lane in reach of that home. */
static inline bool tc_lanes_find_gap(const struct tc_buckets *t, size_t home, struct tc_index_gap *p)
{
    struct tc_index_walk w = tc_index_walk(t->n, home);
    for (size_t distance = 0; distance <= tc_lanes_farthest(t); distance++, tc_index_go_on(&w))
        if (tc_lanes_gap_in(&t->first[w.at], distance, p))
            return true;
    return false;
}

/* Whether one more entry would fill more than so many sixteenths of all lanes. */
static inline bool tc_lanes_exceed(const struct tc_index *x, unsigned sixteenths)
{
    return (uint64_t)(x->count + 1) * 16 > (uint64_t)x->n * TC_INDEX_LANES * sixteenths;
}

/* Fourteen sixteenths: nine keys of ten still lie in their home. Where growing would drive entries out it waits until
 * looking up gets slow: the number of entries will hardly grow much more. By then a key in some thousands finds no lane
 * in reach, and takes that of another, which costs one entry and not as many as a larger table would. */
#define TC_LANES_FULL 14
#define TC_LANES_CRAMMED 15
static inline bool tc_lanes_are_full(const struct tc_index *x, bool thrift)
{
    return tc_lanes_exceed(x, thrift ? TC_LANES_CRAMMED : TC_LANES_FULL);
}

/* Above some thousand buckets a key that has no lane in reach comes before the table is full. Some 1.8 times as many
 * come to lie a bucket nearer, and so on: with the first that lies far the table begins to grow, so as to be done
 * before that. The longer the copy of a table takes, the seldomer it may have to be made at once. */
#define TC_LANES_LARGE 2048 /* buckets */
#define TC_LANES_FAR 11
static inline bool tc_lanes_is_far(const struct tc_index *x, size_t distance)
{
    size_t far = TC_LANES_FAR;
    for (size_t n = TC_LANES_LARGE * 2; n < x->n && far > TC_LANES_FAR - 3; n *= 4)
        far--;
    return distance >= far && x->n > TC_LANES_LARGE && x->refused == 0;
}

/* Of a cell that is in it. */
static inline struct tc_index_gap tc_lanes_place_of(const struct tc_buckets *t, uint64_t hash, uint32_t cell)
{
    struct tc_index_walk w = tc_index_walk(t->n, tc_lanes_home(t, hash));
    for (size_t distance = 0;; distance++, tc_index_go_on(&w)) {
        tc_assert(distance <= tc_lanes_farthest(t));
        struct tc_bucket *b = &t->first[w.at];
        tc_lanes m = tc_bucket_lanes_with(b, tc_index_tag(hash));
        for (; m != 0; m &= m - 1)
            if (tc_bucket_cell(b, tc_bucket_lane_of(m)) == cell)
                return (struct tc_index_gap){ { b, tc_bucket_lane_of(m) }, distance };
    }
}

static inline void tc_lanes_fill(const struct tc_buckets *t, const struct tc_index_gap *p, uint32_t cell, uint64_t hash,
                                 uint8_t code)
{
    struct tc_bucket *b = p->at.bucket, *home = &t->first[tc_lanes_home(t, hash)];
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

static inline void tc_lanes_empty(const struct tc_index_at *at)
{
    tc_bucket_set_cell(at->bucket, at->lane, 0);
    tc_field_set(tc_bucket_tag(at->bucket, at->lane), 0);
    tc_bucket_set_bits(&at->bucket->more, 1, TC_INDEX_STRANGERS_SHIFT + at->lane, 0);
    tc_field_set(tc_bucket_code(at->bucket, at->lane), 0);
}

/* Entries of that home at that distance, which is not 0. To look at all the others of that bucket takes a while. */
size_t tc_lanes_count_at(const struct tc_index *x, const struct tc_buckets *t, size_t home, size_t distance);

/* One at that distance from its home left, which is not 0. When the last of the farthest has gone the others are
 * counted, unless it is plain where they are. */
static inline void tc_lanes_shrink_reach(const struct tc_index *x, const struct tc_buckets *t, size_t home,
                                         size_t distance)
{
    struct tc_bucket *b = &t->first[home];
    size_t away = tc_bucket_away(b) - 1, reach = tc_bucket_reach(b), n = tc_bucket_at_reach(b);
    if (distance == reach && --n == 0) {
        reach = away > 0 ? reach - 1 : 0;
        while (reach > 1 && (n = tc_lanes_count_at(x, t, home, reach)) == 0)
            reach--;
        if (reach == 1)
            n = away;
    }
    tc_bucket_set_reach(b, reach, n, away);
}

/* An entry of that hash leaves the table. Returns the bucket where it was. */
static inline struct tc_bucket *tc_lanes_remove(const struct tc_index *x, const struct tc_buckets *t, uint32_t cell,
                                                uint64_t hash)
{
    struct tc_index_gap p = tc_lanes_place_of(t, hash, cell);
    tc_lanes_empty(&p.at);
    if (p.distance > 0)
        tc_lanes_shrink_reach(x, t, tc_lanes_home(t, hash), p.distance);
    return p.at.bucket;
}

#endif
