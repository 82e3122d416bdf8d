/* Moving entries together. A page is freed when its last cell is; where sizes change over time, pages of the sizes that
 * were are left thinly filled, and those of the sizes that are cannot be had. So a page is chosen that others of its
 * size have room for, and its entries go there.
 *
 * An entry that has begun to leave does not change and is reached through its lane alone, so moving it is what storing
 * it anew would be: a copy is made, the lane names the copy, and the former one waits like all that left the table.
 * Who has pinned it keeps it. One that is being overwritten at that moment is evicted instead. */
#include "tier/l1/l1.h"

#define CELLS_MOST (TC_PAGE_BYTES / TC_CELL_UNIT)

/* The policy's node; marks may be set in it meanwhile. */
static void copy_node(unsigned char *to, const unsigned char *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = atomic_load_explicit((const _Atomic unsigned char *)from + i, memory_order_relaxed);
        atomic_store_explicit((_Atomic unsigned char *)to + i, byte, memory_order_relaxed);
    }
}

static void move(struct tc_stripe *s, uint32_t from, struct tc_dropped *dropped)
{
    struct tc_l1 *l1 = s->l1;
    struct tc_entry *e = tc_stripe_entry(s, from);
    struct tc_block *none = NULL;
    if (!tc_entry_begin_to_leave(e)) {
        tc_stripe_remove(s, from, TC_COUNT_l1_evicted_bytes, dropped);
        return;
    }
    uint32_t to = tc_slab_take(&s->slab, tc_entry_own_bytes(e, l1->node_bytes), &none);
    tc_assert(to != 0 && none == NULL); /* the page was chosen because there is room for all of it */
    tc_entry_copy(tc_cell(&s->index.view->cells, to), TC_ENTRY_IN_PAGE | TC_ENTRY_IN_L1, e,
                  l1->node_bytes);
    copy_node(tc_cell(&s->index.view->cells, to), tc_cell(&s->index.view->cells, from), l1->node_bytes);
    l1->evict.move(tc_stripe_order_of(s, e)->state, from, to);
    tc_index_move(&s->index, from, to);
    tc_stripe_wait(s, from, e, tc_l1_entry_bytes(l1, e), dropped);
}

bool tc_stripe_empty(struct tc_stripe *s, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    uint32_t cells[CELLS_MOST];
    size_t n = tc_slab_close_emptiest(&s->slab, cells);
    for (size_t i = 0; i < n; i++)
        if (tc_entry_is_in_l1(tc_stripe_entry(s, cells[i])))
            tc_stripe_remove(s, cells[i], TC_COUNT_l1_evicted_bytes, dropped);
    return n > 0;
}

bool tc_stripe_vacate(struct tc_stripe *s, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    uint32_t cells[CELLS_MOST];
    if (s->l1->evict.move == NULL)
        return false;
    size_t n = tc_slab_close_sparse(&s->slab, cells);
    for (size_t i = 0; i < n; i++)
        if (tc_entry_is_in_l1(tc_stripe_entry(s, cells[i])))
            move(s, cells[i], dropped);
    return n > 0;
}
