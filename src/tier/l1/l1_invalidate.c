/* Dropping what is stored, and making void the tickets that were taken before. */
#include "tier/l1/l1.h"

#define CLEARED_AT_ONCE 256 /* lanes: some tens of microseconds */

void tc_l1_remove_locked(struct tc_stripe *s, struct tc_l1_ref ref, tc_reason why, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    uint32_t cell;
    if (tc_stripe_find(s, ref.hash, ref.key, &cell) != NULL)
        tc_stripe_remove(s, cell, why, dropped);
}

void tc_l1_invalidate_locked(struct tc_stripe *s, struct tc_l1_ref ref, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    tc_generation_advance(tc_stripe_generation(s, ref.hash));
    tc_l1_remove_locked(s, ref, TC_COUNT_l1_invalidated, dropped);
}

void tc_l1_invalidate(struct tc_l1 *l1, struct tc_l1_ref ref)
{
    struct tc_stripe *s = tc_l1_stripe(l1, ref.hash);
    struct tc_dropped dropped = { .first = NULL };
    tc_lock_acquire(&s->lock);
    tc_l1_invalidate_locked(s, ref, &dropped);
    tc_l1_leave(l1, s, &dropped);
}

void tc_l1_void(struct tc_l1 *l1, uint64_t hash)
{
    struct tc_stripe *s = tc_l1_stripe(l1, hash);
    tc_lock_acquire(&s->lock);
    tc_generation_advance(tc_stripe_generation(s, hash));
    tc_lock_release(&s->lock);
}

/* Nothing that was read before comes in from here on. */
static void begin_to_clear(struct tc_stripe *s)
{
    for (size_t i = 0; i < TC_GATES; i++)
        tc_generation_advance(&s->generations[i]);
    tc_stripe_account(s, 0, tc_index_give_up(&s->index, s->l1->alloc));
}

/* As much as one hold of the lock is for; false: there is more. What is stored meanwhile may stay or go. */
static bool clear_locked(struct tc_stripe *s, bool begins, struct tc_index_way *way, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    if (begins)
        begin_to_clear(s);
    tc_index_way_on(&s->index, way);
    size_t lanes = tc_index_lanes(&s->index), end = way->next + CLEARED_AT_ONCE;
    for (; way->next < lanes && way->next < end; way->next++)
        if (tc_index_cell(&s->index, way->next) != 0)
            tc_stripe_remove(s, tc_index_cell(&s->index, way->next), TC_COUNT_l1_cleared, dropped);
    return way->next == lanes;
}

static void clear(struct tc_l1 *l1, struct tc_stripe *s)
{
    struct tc_index_way way = { .n = 0 };
    bool all = false;
    for (bool begins = true; !all; begins = false) {
        struct tc_dropped dropped = { .first = NULL };
        tc_lock_acquire(&s->lock);
        all = clear_locked(s, begins, &way, &dropped);
        dropped.bytes = 0; /* no steps: all of it waits for those of tc_limbo_clear() */
        tc_l1_leave(l1, s, &dropped);
        if (!all)
            tc_lock_let_others(&s->lock);
    }
}

void tc_l1_clear(struct tc_l1 *l1)
{
    for (size_t i = 0; i < l1->n_stripes; i++)
        clear(l1, &l1->stripes[i]);
    tc_limbo_clear(l1);
}
