/* A store in memory alone, of a value that asks for nothing special, from the checks of the arguments to the cell: what
 * a server does nearly as often as a hit (tier/hit.h). Everything that is not plain is left to the general way, which
 * begins anew; nothing has been counted or changed for the key then. */
#ifndef TC_TIER_SET_H
#define TC_TIER_SET_H

#include "policy/key.h"
#include "policy/ticket.h"
#include "policy/ttl.h"
#include "tier/verbs.h"

/* How long it lives in L1; 0: its type asks for more than that. */
static inline int64_t tc_set_life_ms(const struct cache_type *t, int64_t wished_ms)
{
    int64_t ttl_ms = atomic_load_explicit(&t->plain_ttl_ms, memory_order_relaxed);
    int64_t l1_ttl_ms = atomic_load_explicit(&t->plain_l1_ttl_ms, memory_order_relaxed);
    if (ttl_ms == 0 || l1_ttl_ms == 0 || wished_ms == CACHE_TTL_NONE)
        return 0;
    return tc_ttl_min(l1_ttl_ms, wished_ms != 0 ? wished_ms : ttl_ms);
}

/* What is to be stored; false: something special is asked for. */
static inline __attribute__((always_inline)) bool tc_set_parts(struct cache *c, const struct tc_target *t,
                                                               struct cache_slice data, int64_t wished_ms,
                                                               struct tc_entry_parts *parts)
{
    struct cache_type *type = t->type;
    if (c->l2.present || data.len > c->max_value_bytes ||
        data.len > atomic_load_explicit(&type->plain_max_bytes, memory_order_relaxed))
        return false;
    int64_t life_ms = tc_set_life_ms(type, wished_ms), now_ms = tc_clock_coarse_ms(&c->clock);
    *parts = (struct tc_entry_parts){ t->ref.hash, t->ref.key, data, now_ms, life_ms, type->id };
    return life_ms != 0 && tc_entry_can_say(now_ms, life_ms);
}

/* What a store counts, and the thread's ticket for the key: the miss is answered, or so old that it counts for
 * nothing. */
static inline __attribute__((always_inline)) void tc_set_end(struct cache *c, struct tc_reader *me,
                                                             const struct tc_entry_parts *p, bool replaced)
{
    uint64_t generation;
    if (tc_ticket_any())
        tc_ticket_recall(c->id, p->hash, p->now_ms, &generation);
    tc_reader_count(&me->sets[p->type_id], 1);
    if (replaced)
        tc_reader_count(&me->replaced[p->type_id], 1);
}

/* It answers a miss of this thread, of that generation. */
static inline __attribute__((always_inline)) bool tc_set_is_fill(const struct cache *c, const struct tc_entry_parts *p,
                                                                 uint64_t *generation)
{
    return tc_ticket_any() && tc_ticket_peek(c->id, p->hash, p->now_ms, generation);
}

/* Within a call. generation: that of the miss which this answers, or NULL. */
static inline __attribute__((always_inline)) bool tc_set_with_lock(struct cache *c, struct tc_reader *me,
                                                                   const struct tc_entry_parts *p,
                                                                   const uint64_t *generation)
{
    bool replaced;
    tc_l1_prefetch_to_add(&c->l1, p->hash);
    if (!tc_l1_set(&c->l1, p, generation, &replaced))
        return false;
    tc_set_end(c, me, p, replaced);
    return true;
}

/* Within a call, for a key of c. True: it is done. */
static inline bool tc_set_plainly(struct cache *c, struct tc_reader *me, const struct tc_target *t,
                                  struct cache_slice data, int64_t wished_ms)
{
    struct tc_entry_parts parts;
    uint64_t generation;
    if (me == NULL || !tc_set_parts(c, t, data, wished_ms, &parts))
        return false;
    bool fill = tc_set_is_fill(c, &parts, &generation);
    return tc_set_with_lock(c, me, &parts, fill ? &generation : NULL);
}

/* Inside tc_reader_enter(), which counts as a call for cache_close(): over the value before, if there is one. */
static inline __attribute__((always_inline)) bool tc_set_over(struct cache *c, struct tc_reader *me,
                                                              const struct tc_entry_parts *p)
{
    struct tc_entry_seen seen;
    if (atomic_load_explicit(&c->closing, memory_order_relaxed))
        return false;
    size_t stripe = tc_l1_stripe_number(&c->l1, p->hash);
    if (!tc_index_find_first(&c->l1.views[stripe], p->hash, p->key, &seen) ||
        !tc_l1_overwrite(&c->l1, me, seen.e, seen.refs, p))
        return false;
    tc_set_end(c, me, p, true);
    return true;
}

/* The whole call, for a key that is not checked yet, with no option. True: it is done. */
static inline __attribute__((always_inline)) bool tc_set_here(struct cache *c, const struct cache_key *key,
                                                              struct cache_slice data)
{
    const struct tc_key *k = (const struct tc_key *)key;
    struct tc_entry_parts parts;
    if (__builtin_expect(!tc_cache_is_plain_call(c, k), 0))
        return false;
    struct tc_target t = { (struct cache_type *)k->type, { tc_key_hash(k, &c->hash), { k->inline_bytes, k->len } } };
    tc_l1_prefetch_to_set(&c->l1, t.ref.hash);
    struct tc_reader *me = tc_reader_self_if(&c->l1.readers, *c->readers_here);
    if (__builtin_expect(me == NULL || !tc_set_parts(c, &t, data, 0, &parts), 0))
        return false;
    uint64_t generation;
    bool fill = tc_set_is_fill(c, &parts, &generation); /* then there is nothing to write over, as a rule */
    tc_reader_enter(&c->l1.readers, me);
    bool done = !fill && tc_set_over(c, me, &parts);
    if (__builtin_expect(done, 1)) {
        tc_reader_leave(me);
        return true;
    }
    tc_reader_add(&me->calls, 1);
    tc_reader_leave(me);
    struct tc_entry_parts in_memory = parts; /* whose address is taken: so the others stayed in registers until here */
    if (!atomic_load_explicit(&c->closing, memory_order_relaxed))
        done = tc_set_with_lock(c, me, &in_memory, fill ? &generation : NULL);
    tc_reader_add(&me->calls, -1);
    return done;
}

#endif
