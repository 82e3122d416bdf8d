/* A hit in L1 with its value copied out, from the checks of the arguments to the bytes, in one piece: what a server
 * does a million times a second. Everything that is not plain is left to the general way, which begins anew; nothing
 * has been counted or changed then.
 *
 * Being inside (tc_reader_enter) counts as a call for cache_close(), so one store announces both. */
#ifndef TC_TIER_HIT_H
#define TC_TIER_HIT_H

#include "base/hash_here.h"
#include "tier/verbs.h"

/* An entry that is not of the usual kind: whether it may answer here all the same, and then its value. */
static __attribute__((noinline)) bool tc_hit_copy_odd(struct tc_l1 *l1, size_t stripe, struct tc_reader *me,
                                                      struct tc_entry *e, void *buf, size_t cap, int64_t now_ms)
{
    if (e->flags & (TC_ENTRY_COUNTS | TC_ENTRY_ABSENT) || e->len > cap || e->len > TC_L1_COPY_BYTES ||
        now_ms >= tc_entry_fresh_until_ms(e))
        return false;
    tc_l1_touch(l1, &l1->views[stripe], stripe, me, e);
    if (e->len > 0)
        memcpy(buf, tc_entry_data(e), e->len);
    return true;
}

static inline __attribute__((always_inline)) bool tc_hit_copy_entry(struct tc_l1 *l1, size_t stripe,
                                                                    struct tc_reader *me, struct tc_entry *e, void *buf,
                                                                    size_t cap, int64_t now_ms)
{
    size_t len = e->len;
    if (__builtin_expect(e->flags != 0, 0))
        return tc_hit_copy_odd(l1, stripe, me, e, buf, cap, now_ms);
    if (len > cap || len > TC_L1_COPY_BYTES || now_ms >= tc_entry_plain_until_ms(e))
        return false;
    tc_l1_touch_plain(l1, &l1->views[stripe], stripe, me, e);
    if (len > 0)
        memcpy(buf, tc_entry_key(e) + e->key_len, len);
    return true;
}

/* Copies a value that L1 holds, if that is all there is to do: true. buf may be NULL if cap is 0; copied may be NULL.
 * False: the general way knows why. *held: this is counted as a call still, for the record *me; to be taken back
 * after it. */
static inline __attribute__((always_inline)) bool tc_hit_copy(struct cache *c, const struct cache_key *key, void *buf,
                                                              size_t cap, struct tc_l1_copied *copied,
                                                              struct tc_reader **held)
{
    *held = NULL;
    const struct tc_key *k = (const struct tc_key *)key;
    /* A type is plain for its own cache alone: so this is one, and a cache that is open, by the system's clock. */
    if (!tc_key_is_valid(k) || k->status != CACHE_OK || k->len == 0 || !tc_type_is_plain_for(k->type, c) ||
        tc_fork_guard_is_child(&c->fork))
        return false;
    int64_t now_ms = tc_mono_coarse_ms();
    struct tc_reader *me = tc_reader_self(&c->l1.readers);
    if (me == NULL)
        return false;
    _Atomic uint64_t *count = &me->counts[k->type->id % TC_READER_COUNTS];
    uint64_t hits = atomic_load_explicit(count, memory_order_relaxed) + 1;
    if (hits % TC_SAMPLE_EVERY == 0)
        return false; /* to be timed */
    struct cache_slice bytes = { tc_key_data(k), k->len };
    uint64_t hash = tc_hash_here(&c->hash, bytes.data, bytes.len);
    size_t stripe = tc_l1_stripe_number(&c->l1, hash);
    tc_reader_enter(&c->l1.readers, me);
    struct tc_entry *e = NULL;
    if (!atomic_load_explicit(&c->closing, memory_order_relaxed))
        e = tc_index_find_here(&c->l1.views[stripe], hash, bytes);
    if (__builtin_expect(e == NULL || !tc_hit_copy_entry(&c->l1, stripe, me, e, buf, cap, now_ms), 0)) {
        *held = me;
        tc_reader_add(&me->calls, 1);
        tc_reader_leave(me);
        return false;
    }
    if (copied != NULL) {
        *copied = tc_l1_fields(e);
        copied->now_ms = now_ms;
    }
    atomic_store_explicit(count, hits, memory_order_relaxed);
    tc_reader_leave(me); /* c may be closed from here on, and the record gone */
    return true;
}

#endif
