/* A store that asks for nothing special, in one piece: the value goes from its maker's memory to where the one before
 * lies (stripe_overwrite.c) or into a cell of a page; the cell is there, the table has a place for it, and the type has
 * no order of its own in the stripe. Anything else goes the general way (l1_store.c), which begins anew; nothing has
 * been changed for the key then. */
#include "tier/l1/overwrite.h"

/* Whose cell a new entry gets, if the stripe is full and has no more in reserve than it should. Where there are several
 * orders it may be another's turn. */
static bool choose_victim(struct tc_l1 *l1, struct tc_stripe *s, const struct tc_entry_parts *p, size_t bytes,
                          struct tc_victim *v)
{
    return tc_l1_is_full(l1) && s->shared.next == NULL && tc_overwrite_suits(l1, p) && !tc_l1_asks_others(l1, s) &&
           !tc_stripe_has(s, bytes, tc_stripe_slack(s)) && tc_stripe_choose_victim(s, bytes, v);
}

/* In a cell of its own. old: that of the value before, or 0; at: where it is listed, or where the new one can be. */
static TC_APART bool set_in_cell(struct tc_l1 *l1, struct tc_stripe *s, const struct tc_entry_parts *p, size_t bytes,
                                 uint32_t old, const struct tc_index_gap *at, struct tc_dropped *dropped)
{
    bool full = tc_l1_is_full(l1);
    struct tc_lane lane = { old, old != 0 ? &at->at : NULL, old == 0 ? at : NULL, TC_NOT_COUNTED };
    if (tc_stripe_housing_growth(s, bytes, false) > 0)
        return false;
    uint32_t where, cell = tc_stripe_take(s, bytes, false, &where, dropped);
    if (cell == 0) /* no number is left for what lies apart */
        return false;
    tc_entry_make(tc_cell(&s->index.view->cells, cell), l1->node_bytes, where | TC_ENTRY_IN_L1, p);
    tc_stripe_link(s, cell, p->hash, &s->shared, p->now_ms, &lane, dropped);
    if (full)
        tc_l1_keep_slack(l1, s, cell, bytes, dropped);
    return true;
}

/* What is not written over the value before. victim: NULL if there is none. */
static bool set_anew(struct tc_l1 *l1, struct tc_stripe *s, const struct tc_entry_parts *p, size_t bytes,
                     uint32_t old, const struct tc_index_gap *at, const struct tc_victim *victim,
                     struct tc_dropped *dropped)
{
    if (at->at.bucket == NULL || tc_stripe_order_of_type(s, p->type_id) != &s->shared)
        return false;
    return (old == 0 && victim != NULL && tc_stripe_overwrite_victim(s, victim, at, p, bytes, dropped)) ||
           set_in_cell(l1, s, p, bytes, old, at, dropped);
}

TC_APART void tc_l1_grow_on(struct tc_l1 *l1, struct tc_stripe *s, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    if (__builtin_expect(!tc_index_is_growing(&s->index), 1))
        return;
    struct tc_index_room room;
    tc_index_grow_on(&s->index, l1->alloc, &room);
    tc_dropped_add(dropped, room.before);
    tc_stripe_account(s, room.more_bytes, room.fewer_bytes);
    if (room.fewer_bytes == 0)
        return;
    tc_stripe_reserve(s, dropped);
    tc_l1_give_idle(l1, s); /* of the former table, or of one in which some entry found no lane */
}

static bool set_locked(struct tc_l1 *l1, struct tc_stripe *s, const struct tc_entry_parts *p, size_t bytes,
                       const uint64_t *expected, bool *replaced, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    _Atomic uint64_t *generation = tc_stripe_generation(s, p->hash);
    struct tc_index_gap at;
    tc_stripe_expire(s, p->now_ms, dropped);
    bool full = tc_l1_is_full(l1);
    if (full)
        tc_l1_pay(l1, s, dropped);
    struct tc_victim victim;
    /* Before the table is read, which takes a while, too. */
    bool chosen = choose_victim(l1, s, p, bytes, &victim);
    uint32_t old = tc_index_find_or_gap(&s->index, p->hash, p->key, full, &at);
    /* Now that what is due has left: until then somebody without the lock may have written over it. */
    if (expected != NULL && tc_generation(generation) != *expected)
        return false;
    *replaced = old != 0;
    if (*replaced && expected != NULL)
        return false; /* two answers to a miss: which one is better is not asked here */
    bool over = *replaced && tc_stripe_overwrite(s, old, &at.at, p);
    if (!over && !set_anew(l1, s, p, bytes, old, &at, chosen ? &victim : NULL, dropped))
        return false;
    if (*replaced)
        tc_l1_grow_on(l1, s, dropped);
    if (expected == NULL)
        tc_generation_advance(generation);
    return true;
}

bool tc_l1_set(struct tc_l1 *l1, const struct tc_entry_parts *p, const uint64_t *expected, bool *replaced)
{
    size_t bytes = tc_entry_bytes_for(l1->node_bytes, 0, p->key.len, p->value.len);
    if (!tc_l1_houses(l1, bytes) || !tc_entry_fits_small(p->key.len, p->value.len))
        return false;
    struct tc_stripe *s = tc_l1_stripe(l1, p->hash);
    struct tc_dropped dropped = { .first = NULL };
    tc_lock_acquire(&s->lock);
    bool done = set_locked(l1, s, p, bytes, expected, replaced, &dropped);
    tc_l1_leave(l1, s, &dropped);
    return done;
}
