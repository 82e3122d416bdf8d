/* A store in memory alone, of a value that asks for nothing special, from the checks of the arguments to the cell: what
 * a server does nearly as often as a hit (tier/hit.h). Everything that is not plain is left to the general way, which
 * begins anew; nothing has been counted or changed for the key then. */
#ifndef TC_TIER_SET_H
#define TC_TIER_SET_H

#include "base/hash_here.h"
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

/* Within a call, for a key of c. True: it is done. */
static inline __attribute__((always_inline)) bool tc_set_plainly(struct cache *c, struct tc_reader *me,
                                                                 const struct tc_target *t, struct cache_slice data,
                                                                 int64_t wished_ms)
{
    struct cache_type *type = t->type;
    if (c->l2.present || me == NULL || data.len > c->max_value_bytes ||
        data.len > atomic_load_explicit(&type->plain_max_bytes, memory_order_relaxed))
        return false;
    int64_t life_ms = tc_set_life_ms(type, wished_ms), now_ms = tc_clock_coarse_ms(&c->clock);
    if (life_ms == 0 || !tc_entry_can_say(now_ms, life_ms))
        return false;
    uint64_t generation;
    bool tickets = tc_ticket_any(), fill = tickets && tc_ticket_peek(c->id, t->ref.hash, now_ms, &generation), replaced;
    struct tc_entry_parts parts = { t->ref.hash, t->ref.key, data, now_ms, life_ms, type->id };
    if (!tc_l1_set(&c->l1, &parts, fill ? &generation : NULL, &replaced))
        return false;
    if (tickets) /* the miss is answered, or so old that it counts for nothing */
        tc_ticket_recall(c->id, t->ref.hash, now_ms, &generation);
    tc_reader_count(&me->sets[type->id], 1);
    if (replaced)
        tc_reader_count(&me->replaced[type->id], 1);
    return true;
}

/* The whole call, for a key that is not checked yet, with no option. True: it is done. */
static inline __attribute__((always_inline)) bool tc_set_here(struct cache *c, const struct cache_key *key,
                                                              struct cache_slice data)
{
    const struct tc_key *k = (const struct tc_key *)key;
    if (!tc_cache_is_plain_call(c, k))
        return false;
    struct tc_reader *me = tc_reader_self(&c->l1.readers);
    if (me == NULL)
        return false;
    struct tc_target t = { (struct cache_type *)k->type, { 0, { tc_key_data(k), k->len } } };
    t.ref.hash = tc_hash_here(&c->hash, t.ref.key.data, t.ref.key.len);
    tc_l1_prefetch(&c->l1, t.ref.hash);
    tc_reader_add(&me->calls, 1);
    tc_readers_fence(&c->l1.readers); /* as in tc_cache_enter_as() */
    bool done = false;
    if (!atomic_load_explicit(&c->closing, memory_order_relaxed)) {
        /* What will be overwritten is on its way while the lock is waited for. */
        tc_reader_enter(&c->l1.readers, me);
        tc_l1_prefetch_entry(&c->l1, t.ref.hash);
        tc_reader_leave(me);
        done = tc_set_plainly(c, me, &t, data, 0);
    }
    tc_reader_add(&me->calls, -1);
    return done;
}

#endif
