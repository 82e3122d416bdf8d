/* A hit in L1 with its value copied out, from the checks of the arguments to the bytes, in one piece: what a server does
 * a million times a second. Everything that is not plain is left to the general way, which begins anew; nothing has
 * been counted or changed then.
 *
 * Being inside (tc_reader_enter) counts as a call for cache_close(), so one store announces both. */
#ifndef TC_TIER_HIT_H
#define TC_TIER_HIT_H

#include "tier/verbs.h"

/* Whether the entry is one that may answer here: fresh, not too long, not counted. */
static inline __attribute__((always_inline)) bool tc_hit_answers(const struct cache *c, const struct tc_entry *e,
                                                                 size_t cap, int64_t *now_ms)
{
    cap = cap < TC_L1_COPY_BYTES ? cap : TC_L1_COPY_BYTES;
    if (e->flags & (TC_ENTRY_COUNTS | TC_ENTRY_ABSENT) || e->len > cap)
        return false;
    int64_t until_ms = tc_entry_fresh_until_ms(e);
    if (until_ms == TC_NEVER_MS)
        return true;
    if (c->clock.system)
        *now_ms = tc_mono_coarse_ms();
    return *now_ms < until_ms;
}

static inline __attribute__((always_inline)) bool tc_hit_copy_inside(struct cache *c, struct tc_reader *me,
                                                                     struct tc_l1_ref ref, void *buf, size_t cap,
                                                                     int64_t now_ms, struct tc_l1_copied *copied)
{
    struct tc_stripe *s = tc_l1_stripe(&c->l1, ref.hash);
    struct tc_entry *e = tc_index_find_here(&s->index, ref.hash, ref.key);
    if (e == NULL || !tc_hit_answers(c, e, cap, &now_ms))
        return false;
    tc_l1_copy_out(&c->l1, s, me, e, buf, copied);
    if (copied != NULL) {
        bool was_read = !c->clock.system || copied->fresh_until_ms != TC_NEVER_MS;
        copied->now_ms = was_read ? now_ms : tc_mono_coarse_ms(); /* as it was judged by */
    }
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
    /* A type is plain for its own cache alone: so this is one, and a cache that is open. */
    if (!tc_key_is_valid(k) || k->status != CACHE_OK || k->len == 0 || !tc_type_is_plain_for(k->type, c) ||
        tc_fork_guard_is_child(&c->fork))
        return false;
    struct tc_reader *me = tc_reader_self(&c->l1.readers);
    if (me == NULL)
        return false;
    _Atomic uint64_t *count = &me->counts[k->type->id % TC_READER_COUNTS];
    uint64_t hits = atomic_load_explicit(count, memory_order_relaxed);
    if ((hits + 1) % TC_SAMPLE_EVERY == 0)
        return false; /* to be timed */
    struct cache_slice bytes = { tc_key_data(k), k->len };
    struct tc_l1_ref ref = { tc_hash_bytes(&c->hash, bytes.data, bytes.len), bytes };
    /* A clock of the application's is not called inside, where nothing may wait, but within a call. */
    bool foreign_clock = !c->clock.system, closing = false;
    int64_t now_ms = 0;
    if (foreign_clock) {
        tc_reader_add(&me->calls, 1);
        tc_readers_fence(&c->l1.readers);
        closing = atomic_load_explicit(&c->closing, memory_order_relaxed);
        now_ms = closing ? 0 : c->clock.ops.mono_ms(c->clock.ctx);
    }
    tc_reader_enter(&c->l1.readers, me);
    if (!foreign_clock)
        closing = atomic_load_explicit(&c->closing, memory_order_relaxed);
    bool done = !closing && tc_hit_copy_inside(c, me, ref, buf, cap, now_ms, copied);
    if (done)
        atomic_store_explicit(count, hits + 1, memory_order_relaxed);
    else
        *held = me;
    if (done == foreign_clock) /* it was counted and is through, or it was not and goes on */
        tc_reader_add(&me->calls, done ? -1 : 1);
    tc_reader_leave(me); /* unless it is held, c may be closed from here on, and the record gone */
    return done;
}

#endif
