/* A store in memory alone, of a value that asks for nothing special, from the checks of the arguments to the cell: what
 * a server does nearly as often as a hit (tier/hit.h). Everything that is not plain is left to the general way, which
 * begins anew; nothing has been counted or changed for the key then. */
#ifndef TC_TIER_SET_H
#define TC_TIER_SET_H

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
static inline bool tc_set_plainly(struct cache *c, struct tc_reader *me, const struct tc_target *t,
                                  struct cache_slice data, int64_t wished_ms)
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

#endif
