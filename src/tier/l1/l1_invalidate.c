/* Dropping what is stored, and making void the tickets that were taken before. */
#include "tier/l1/l1.h"

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

static void clear_locked(struct tc_stripe *s, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    for (size_t i = 0; i < TC_GATES; i++)
        tc_generation_advance(&s->generations[i]);
    tc_stripe_account(s, 0, tc_index_give_up(&s->index, s->l1->alloc));
    for (size_t i = 0; i < tc_index_lanes(&s->index); i++)
        if (tc_index_cell(&s->index, i) != 0)
            tc_stripe_remove(s, tc_index_cell(&s->index, i), TC_COUNT_l1_cleared, dropped);
}

void tc_l1_clear(struct tc_l1 *l1)
{
    for (size_t i = 0; i < l1->n_stripes; i++) {
        struct tc_stripe *s = &l1->stripes[i];
        struct tc_dropped dropped = { .first = NULL };
        tc_lock_acquire(&s->lock);
        clear_locked(s, &dropped);
        tc_l1_leave(l1, s, &dropped);
    }
    tc_limbo_clear(l1);
}
