/* The hits of a batch, as tier/hit.h has a single one: all buckets are asked for, then all entries, and then each is
 * looked up, so that they wait for memory together (group prefetching: Chen, Ailamaki, Gibbons, Mowry, "Improving hash
 * join performance through prefetching", 2004). What is not a plain hit is left to the general way. */
#ifndef TC_TIER_HIT_MANY_H
#define TC_TIER_HIT_MANY_H

#include "tier/hit.h"

struct tc_hits {
    uint32_t plain; /* a bit for each key that short ways serve; */
    uint32_t there; /* and of these for each of which there is something else than a plain hit, as far as it was asked:
                       the next hit of a type may have to be timed */
    int64_t now_ms;
    uint64_t hashes[TC_L1_AHEAD]; /* of the plain ones */
    struct tc_entry *pinned[TC_L1_AHEAD]; /* NULL: not a plain hit */
};

static inline const struct tc_key *tc_hits_key(const struct cache_item *it)
{
    return (const struct tc_key *)it->key;
}

static inline __attribute__((always_inline)) void tc_hits_begin(struct cache *c, const struct cache_item *it, size_t n,
                                                                struct tc_hits *h)
{
    h->plain = h->there = 0;
    h->now_ms = 0;
    for (size_t i = 0; i < n; i++) {
        h->pinned[i] = NULL;
        if (!tc_cache_is_plain_call(c, tc_hits_key(&it[i])))
            continue;
        h->plain |= 1u << i;
        h->hashes[i] = tc_key_hash(tc_hits_key(&it[i]), &c->hash);
        tc_l1_prefetch(&c->l1, h->hashes[i]);
    }
}

/* Inside tc_reader_enter(), key number i. */
static inline __attribute__((always_inline)) struct tc_entry *tc_hits_find(struct cache *c, struct tc_reader *me,
                                                                           const struct tc_key *k, size_t i,
                                                                           struct tc_hits *h)
{
    struct tc_entry_seen seen;
    uint64_t hash = h->hashes[i];
    size_t stripe = tc_l1_stripe_number(&c->l1, hash);
    const struct tc_index_view *view = &c->l1.views[stripe];
    _Atomic uint64_t *count;
    uint64_t hits;
    bool timed = !tc_hit_count(me, k->type, &count, &hits);
    if (!timed && !tc_index_find_here(view, hash, (struct cache_slice){ k->inline_bytes, k->len }, &seen))
        return NULL;
    if (__builtin_expect(timed || !tc_hit_hold(&c->l1, stripe, me, &seen, h->now_ms), 0)) {
        h->there |= 1u << i;
        return NULL;
    }
    atomic_store_explicit(count, hits, memory_order_relaxed);
    return seen.e;
}

/* Within a call, of n keys, TC_L1_AHEAD at most. me may be NULL, and then there are none. */
static __attribute__((flatten)) void tc_hits_pin(struct cache *c, struct tc_reader *me, const struct cache_item *it,
                                                 size_t n, struct tc_hits *h)
{
    int64_t n_pinned = 0;
    tc_hits_begin(c, it, n, h);
    if (me == NULL)
        h->plain = 0;
    if (h->plain == 0)
        return;
    h->now_ms = tc_mono_coarse_ms();
    tc_reader_enter(&c->l1.readers, me);
    for (size_t i = 0; i < n; i++)
        if (h->plain >> i & 1)
            tc_l1_prefetch_entry(&c->l1, h->hashes[i]);
    for (size_t i = 0; i < n; i++) {
        if (h->plain >> i & 1)
            h->pinned[i] = tc_hits_find(c, me, tc_hits_key(&it[i]), i, h);
        n_pinned += h->pinned[i] != NULL;
    }
    tc_reader_add(&me->pins, n_pinned); /* while it is inside, as for a single one */
    tc_reader_leave(me);
}

#endif
