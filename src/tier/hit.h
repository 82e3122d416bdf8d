/* A hit in L1 with its value copied out or pinned, from the checks of the arguments to the bytes, in one piece: what a
 * server does a million times a second; and a miss, if there is no L2. Everything that is not plain is left to the
 * general way, which begins anew; nothing has been counted or changed then.
 *
 * Being inside (tc_reader_enter) counts as a call for cache_close(), so one store announces both. */
#ifndef TC_TIER_HIT_H
#define TC_TIER_HIT_H

#include "policy/key.h"
#include "policy/ticket.h"
#include "tier/verbs.h"

#define TC_HIT_LEFT 1001 /* to the general way: no status that callers know */

/* An entry that is not of the usual kind: whether it may answer here all the same, and then its value. */
static __attribute__((noinline)) bool tc_hit_copy_odd(struct tc_l1 *l1, size_t stripe, struct tc_reader *me,
                                                      struct tc_entry *e, uint32_t refs, void *buf, size_t cap,
                                                      int64_t now_ms, struct tc_l1_copied *copied)
{
    uint32_t flags = refs & TC_ENTRY_FLAGS;
    if (flags == 0 || flags & TC_ENTRY_ABSENT) /* 0: it was being overwritten */
        return false;
    return tc_l1_copy_out(l1, stripe, me, e, buf, cap, now_ms, copied);
}

/* A look-up that is under way, inside tc_reader_enter(). */
struct tc_hit {
    struct tc_reader *me;
    _Atomic uint64_t *count;
    uint64_t hits; /* with this one */
    uint64_t hash;
    size_t stripe;
    int64_t now_ms;
    size_t key_len;
    bool found;  /* something lies under the key: */
    struct tc_entry_seen seen;
    bool missed; /* nothing does, of this generation */
    uint64_t generation;
};

/* Where a hit of that type is counted, and how many there are with it. False: it is to be timed. */
static inline __attribute__((always_inline)) bool tc_hit_count(struct tc_reader *me, const struct cache_type *t,
                                                               _Atomic uint64_t **count, uint64_t *hits)
{
    *count = &me->counts[t->id % TC_READER_COUNTS];
    *hits = atomic_load_explicit(*count, memory_order_relaxed) + 1;
    return __builtin_expect(*hits % TC_SAMPLE_EVERY != 0, 1);
}

/* It is not where nearly everything lies: wherever it may be. For the case of a miss the generation is read before. */
static inline __attribute__((always_inline)) bool tc_hit_look_on(struct cache *c, struct cache_slice key,
                                                                 struct tc_hit *h)
{
    h->generation = tc_generation(tc_stripe_generation(&c->l1.stripes[h->stripe], h->hash));
    bool found = tc_index_find_on(&c->l1.views[h->stripe], h->hash, key, &h->seen);
    h->missed = h->seen.e == NULL;
    return found;
}

/* Begins one, if the case is plain: true. */
static inline __attribute__((always_inline)) bool tc_hit_begin(struct cache *c, const struct cache_key *key,
                                                               struct tc_hit *h)
{
    const struct tc_key *k = (const struct tc_key *)key;
    if (__builtin_expect(!tc_cache_is_plain_call(c, k), 0))
        return false;
    struct cache_slice bytes = { k->inline_bytes, k->len };
    h->key_len = bytes.len;
    uint64_t hash = tc_key_hash(k, &c->hash);
    h->stripe = tc_l1_stripe_number(&c->l1, hash);
    tc_index_prefetch(&c->l1.views[h->stripe], hash);
    h->now_ms = tc_mono_coarse_ms();
    h->me = tc_reader_self_if(&c->l1.readers, *c->readers_here);
    if (__builtin_expect(h->me == NULL, 0))
        return false;
    if (!tc_hit_count(h->me, k->type, &h->count, &h->hits))
        return false;
    tc_reader_enter(&c->l1.readers, h->me);
    h->hash = hash;
    h->missed = false;
    h->found = __builtin_expect(!atomic_load_explicit(&c->closing, memory_order_relaxed), 1) &&
               (__builtin_expect(tc_index_find_first(&c->l1.views[h->stripe], hash, bytes, &h->seen), 1) ||
                tc_hit_look_on(c, bytes, h));
    return true;
}

/* It was a hit. c may be closed from here on, and the record gone, unless a value is pinned. */
static inline void tc_hit_end(const struct tc_hit *h)
{
    atomic_store_explicit(h->count, h->hits, memory_order_relaxed);
    tc_reader_leave(h->me);
}

/* It goes on the general way, as a call that is counted for the record that this returns; to be taken back after it. */
static inline struct tc_reader *tc_hit_give_up(const struct tc_hit *h)
{
    tc_reader_add(&h->me->calls, 1);
    tc_reader_leave(h->me);
    return h->me;
}

/* What a miss comes to, in memory alone: true. False: there is an L2 to be asked. Its record is left last, for then c may
 * be closed. */
static TC_APART bool tc_hit_missed(struct cache *c, struct tc_reader *me, uint32_t type_id, uint64_t hash,
                                   uint64_t generation, int64_t now_ms)
{
    if (c->l2.present)
        return false;
    tc_reader_count(&me->missed[type_id], 1);
    tc_ticket_remember(c->id, hash, generation, now_ms);
    tc_reader_leave(me);
    return true;
}

/* It was not a hit: CACHE_MISS, or TC_HIT_LEFT with *held what tc_hit_give_up() returns. */
static inline __attribute__((always_inline)) int tc_hit_end_without(struct cache *c, const struct cache_key *key,
                                                                    const struct tc_hit *h, struct tc_reader **held)
{
    uint32_t type_id = ((const struct tc_key *)key)->type->id;
    if (h->missed && tc_hit_missed(c, h->me, type_id, h->hash, h->generation, h->now_ms))
        return CACHE_MISS;
    *held = tc_hit_give_up(h);
    return TC_HIT_LEFT;
}

static inline __attribute__((always_inline)) bool tc_hit_copy_found(struct cache *c, const struct tc_hit *h,
                                                                    void *buf, size_t cap,
                                                                    struct tc_l1_copied *copied)
{
    if (__builtin_expect((h->seen.refs & (TC_ENTRY_FLAGS | TC_ENTRY_WRITING)) != 0, 0))
        return tc_hit_copy_odd(&c->l1, h->stripe, h->me, h->seen.e, h->seen.refs, buf, cap, h->now_ms, copied);
    return tc_l1_copy_plain(&c->l1, h->stripe, h->me, &h->seen, h->key_len, buf, cap, h->now_ms, copied);
}

/* Copies a value that L1 holds, if that is all there is to do: CACHE_OK. buf may be NULL if cap is 0; copied may be
 * NULL. CACHE_MISS: so much for that. TC_HIT_LEFT: the general way knows why; *held is NULL or what tc_hit_give_up()
 * returned. */
static inline __attribute__((always_inline)) int tc_hit_copy(struct cache *c, const struct cache_key *key, void *buf,
                                                             size_t cap, struct tc_l1_copied *copied,
                                                             struct tc_reader **held)
{
    struct tc_hit h;
    *held = NULL;
    if (__builtin_expect(!tc_hit_begin(c, key, &h), 0))
        return TC_HIT_LEFT;
    if (__builtin_expect(!h.found || !tc_hit_copy_found(c, &h, buf, cap, copied), 0))
        return tc_hit_end_without(c, key, &h, held);
    if (copied != NULL)
        copied->now_ms = h.now_ms;
    tc_hit_end(&h);
    return CACHE_OK;
}

/* Pins an entry that is not of the usual kind, as those are that came from L2. */
static TC_APART bool tc_hit_hold_odd(struct tc_l1 *l1, size_t stripe, struct tc_reader *me, struct tc_entry *e,
                                     uint32_t refs, int64_t now_ms)
{
    if (refs & TC_ENTRY_ABSENT || !tc_l1_try_hold(e, refs))
        return false;
    bool fresh = now_ms < tc_entry_fresh_until_ms(e);
    if (fresh)
        tc_l1_touch(l1, &l1->views[stripe], stripe, me, e);
    else
        tc_l1_unhold(e);
    return fresh;
}

/* Pins what was found, if it is a value and fresh. */
static inline __attribute__((always_inline)) bool tc_hit_hold(struct tc_l1 *l1, size_t stripe, struct tc_reader *me,
                                                              const struct tc_entry_seen *seen, int64_t now_ms)
{
    if (__builtin_expect((seen->refs & TC_ENTRY_FLAGS) != 0, 0))
        return tc_hit_hold_odd(l1, stripe, me, seen->e, seen->refs, now_ms);
    if (__builtin_expect(!tc_l1_try_hold(seen->e, seen->refs), 0))
        return false;
    if (__builtin_expect(now_ms >= tc_entry_plain_until_ms(seen->e), 0)) {
        tc_l1_unhold(seen->e);
        return false;
    }
    tc_l1_touch_plain(l1, &l1->views[stripe], stripe, me, seen->e);
    return true;
}

/* Pins a value that L1 holds, if that is all there is to do: *e. Returns as above. */
static inline __attribute__((always_inline)) int tc_hit_pin(struct cache *c, const struct cache_key *key,
                                                            struct tc_entry **e, int64_t *now_ms,
                                                            struct tc_reader **held)
{
    struct tc_hit h;
    *held = NULL;
    if (__builtin_expect(!tc_hit_begin(c, key, &h), 0))
        return TC_HIT_LEFT;
    if (__builtin_expect(!h.found || !tc_hit_hold(&c->l1, h.stripe, h.me, &h.seen, h.now_ms), 0))
        return tc_hit_end_without(c, key, &h, held);
    tc_reader_add(&h.me->pins, 1); /* while it is inside: who waits for both sees one of them */
    *now_ms = h.now_ms;
    tc_hit_end(&h);
    *e = h.seen.e;
    return CACHE_OK;
}

#endif
