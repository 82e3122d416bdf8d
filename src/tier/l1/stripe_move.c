/* Moving entries together. A page is freed when its last cell is; where sizes change over time, pages of the sizes that
 * were are left thinly filled, and those of the sizes that are cannot be had. So a page is chosen that others of its
 * size have room for, and its entries go there.
 *
 * An entry that has begun to leave does not change and is reached through its lane alone, so moving it is what storing
 * it anew would be: a copy is made, the lane names the copy, and the former one waits like all that left the table.
 * Who has pinned it keeps it. One that is being overwritten at that moment is evicted instead, and so are those of a
 * type whose own policy cannot move them. */
#include "tier/l1/l1.h"

#define CELLS_MOST TC_EXTENTS_IN_CHUNK_MOST

/* The policy's node; marks may be set in it meanwhile. */
static void copy_node(unsigned char *to, const unsigned char *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char byte = atomic_load_explicit((const _Atomic unsigned char *)from + i, memory_order_relaxed);
        atomic_store_explicit((_Atomic unsigned char *)to + i, byte, memory_order_relaxed);
    }
}

/* A cell in memory of the same kind that is open already. */
static uint32_t take_like(struct tc_stripe *s, uint32_t from, size_t bytes)
{
    struct tc_block *none = NULL;
    if (!tc_cell_is_extent(from)) /* the page was chosen because there is room for all of it */
        return tc_slab_take(&s->slab, tc_slab_cell_bytes(&s->slab, from), &none);
    if (tc_extents_growth(&s->extents, bytes, true) > 0 || tc_slab_adopt_growth(&s->slab) > 0)
        return 0;
    void *p = tc_extents_take(&s->extents, bytes, true);
    uint32_t cell = tc_slab_adopt(&s->slab, p, &none);
    if (cell == 0) {
        tc_extents_give(&s->extents, p);
        return 0;
    }
    tc_extents_set_number(p, cell & TC_CELL_PLACE);
    return cell | TC_CELL_EXTENT;
}

/* False: there is no place for it, or its policy cannot have it elsewhere. */
static bool move(struct tc_stripe *s, uint32_t from, struct tc_dropped *dropped)
{
    struct tc_l1 *l1 = s->l1;
    struct tc_entry *e = tc_stripe_entry(s, from);
    struct tc_order *o = tc_stripe_order_of(s, e);
    if (o->evict->move == NULL)
        return false;
    uint32_t to = take_like(s, from, tc_entry_own_bytes(e, l1->node_bytes));
    if (to == 0)
        return false;
    if (!tc_entry_begin_to_leave(e)) {
        tc_stripe_give(s, to);
        tc_stripe_remove(s, from, TC_COUNT_l1_evicted_bytes, dropped);
        return true;
    }
    uint32_t where = (tc_cell_is_extent(from) ? TC_ENTRY_IN_EXTENT : TC_ENTRY_HOUSED) | tc_stripe_first_version(s);
    tc_entry_copy(tc_cell(&s->index.view->cells, to), where | TC_ENTRY_IN_L1, e, l1->node_bytes);
    copy_node(tc_cell(&s->index.view->cells, to), tc_cell(&s->index.view->cells, from), l1->node_bytes);
    tc_stripe_move_in_order(o, from, to);
    tc_index_move(&s->index, from, to);
    tc_stripe_wait(s, from, e, tc_l1_entry_bytes(l1, e), dropped);
    return true;
}

/* ---- what is wanted back ---- */

/* What is in none of these waits for readers already, or for whoever has it pinned. */
static bool is_there(struct tc_stripe *s, uint32_t cell)
{
    return tc_entry_is_in_l1(tc_stripe_entry(s, cell));
}

static void evict_all(struct tc_stripe *s, const uint32_t *cells, size_t n, struct tc_dropped *dropped)
{
    for (size_t i = 0; i < n; i++)
        if (is_there(s, cells[i]))
            tc_stripe_remove(s, cells[i], TC_COUNT_l1_evicted_bytes, dropped);
}

static size_t close_chunk(struct tc_stripe *s, bool fitting, uint32_t *cells)
{
    size_t n = tc_extents_close_sparse(&s->extents, fitting, cells);
    for (size_t i = 0; i < n; i++)
        cells[i] |= TC_CELL_APART | TC_CELL_EXTENT;
    return n;
}

uint64_t tc_stripe_empty(struct tc_stripe *s, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    uint32_t cells[CELLS_MOST];
    size_t n = tc_slab_close_emptiest(&s->slab, cells);
    bool page = n > 0;
    if (!page)
        n = close_chunk(s, false, cells);
    evict_all(s, cells, n, dropped);
    return page ? TC_PAGE_BYTES : n > 0 ? TC_EXTENT_CHUNK : 0;
}

uint64_t tc_stripe_vacate_page(struct tc_stripe *s, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    uint32_t cells[CELLS_MOST];
    if (s->l1->evict.move == NULL)
        return 0;
    size_t n = tc_slab_close_sparse(&s->slab, cells);
    for (size_t i = 0; i < n; i++)
        if (is_there(s, cells[i]) && !move(s, cells[i], dropped))
            tc_stripe_remove(s, cells[i], TC_COUNT_l1_evicted_bytes, dropped);
    return n > 0 ? TC_PAGE_BYTES : 0;
}

/* With sizes of all kinds not all that a chunk has fits elsewhere. Then it stays, so that who leaves is who was not
 * used for longest, unless holes are as much as when sizes have changed. */
#define VERY_SPARSE 8

uint64_t tc_stripe_vacate_chunk(struct tc_stripe *s, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    uint32_t cells[CELLS_MOST];
    if (s->l1->evict.move == NULL)
        return 0;
    bool evict = tc_extents_are_sparse(&s->extents, VERY_SPARSE);
    size_t n = close_chunk(s, true, cells);
    for (size_t i = 0; i < n; i++) {
        if (!is_there(s, cells[i]) || move(s, cells[i], dropped))
            continue;
        if (!evict) {
            tc_extents_reopen(&s->extents, tc_cell(&s->index.view->cells, cells[i]));
            return 0;
        }
        tc_stripe_remove(s, cells[i], TC_COUNT_l1_evicted_bytes, dropped);
    }
    return n > 0 ? TC_EXTENT_CHUNK : 0;
}
