/* Where the entries of a stripe lie: in cells of pages, in extents, or alone. */
#include "tier/l1/l1.h"

#define PAGES_WORTH 4         /* of entries of a fine size lie apart before it gets pages, in thin stripes; */
#define COARSE_PAGES_WORTH 16 /* of a coarse one in others */

/* Pages of which little is used cost more than extents do: half of one for each size, on average. So does what larger
 * cells are rounded by, unless many are of one size: of what takes the nth part of a page twice the nth part of all
 * must be. Sizes that are evenly spread from small to large have less. */
static bool pages_pay(const struct tc_stripe *s, size_t bytes)
{
    bool thin = s->l1->thin;
    if (!thin && bytes <= TC_PAGED_MOST)
        return true;
    unsigned class = tc_slab_class(bytes);
    uint32_t apart = s->apart_of[class];
    if (tc_slab_has_page(&s->slab, class))
        return true;
    unsigned in_page = tc_slab_cells_of_page(class);
    if (thin)
        return bytes <= TC_SLAB_FINE && apart >= PAGES_WORTH * in_page;
    return apart >= COARSE_PAGES_WORTH * in_page && apart * in_page * (uint64_t)bytes >= 2 * tc_stripe_housing(s);
}

/* As nearly always, and told at once. */
static inline bool goes_to_known_page(const struct tc_stripe *s, size_t bytes)
{
    return bytes <= TC_SLAB_FINE && s->slab.pages.fresh < TC_SLAB_PAGES_MOST &&
           tc_slab_has_page(&s->slab, tc_slab_class(bytes));
}

static TC_APART bool goes_to_page(const struct tc_stripe *s, size_t bytes, bool anywhere)
{
    return bytes <= TC_SLAB_MOST && tc_slab_has_number(&s->slab, bytes) && pages_pay(s, bytes) &&
           (!anywhere || tc_slab_take_growth(&s->slab, bytes) == 0 || tc_extents_growth(&s->extents, bytes, anywhere) > 0);
}

TC_APART void tc_stripe_count_apart(const struct tc_stripe *s, uint32_t apart_of[TC_SLAB_CLASSES],
                                    const struct tc_entry *e, int more)
{
    size_t bytes = tc_entry_copied_bytes(e, s->l1->node_bytes);
    if (bytes <= TC_SLAB_MOST)
        apart_of[tc_slab_class(bytes)] += (uint32_t)more;
}

uint64_t tc_stripe_housing_growth(const struct tc_stripe *s, size_t bytes, bool anywhere)
{
    if ((!anywhere && goes_to_known_page(s, bytes)) || goes_to_page(s, bytes, anywhere))
        return tc_slab_take_growth(&s->slab, bytes);
    return tc_extents_growth(&s->extents, bytes, anywhere) + tc_slab_adopt_growth(&s->slab);
}

uint64_t tc_stripe_entry_growth(const struct tc_stripe *s, const struct tc_entry *e, bool anywhere)
{
    size_t bytes = tc_entry_copied_bytes(e, s->l1->node_bytes);
    if (tc_l1_houses(s->l1, bytes))
        return tc_stripe_housing_growth(s, bytes, anywhere);
    return tc_l1_entry_bytes(s->l1, e) + tc_slab_adopt_growth(&s->slab);
}

/* What is free in chunks is of use where it lies in one piece, and the last of it is left to those who do not fit into
 * the cell of who leaves. */
bool tc_stripe_has(struct tc_stripe *s, size_t bytes, uint64_t slack)
{
    tc_lock_assert_held(&s->lock);
    uint64_t coming = tc_stripe_idle(s) + tc_left_housed(&s->left);
    if (__builtin_expect(goes_to_known_page(s, bytes), 1) || goes_to_page(s, bytes, false))
        return coming + s->slab.free_bytes > slack;
    return coming > slack || (coming + s->extents.free_bytes > slack && tc_extents_growth(&s->extents, bytes, false) == 0);
}

void tc_stripe_reserve(struct tc_stripe *s, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    struct tc_block *map = NULL;
    uint64_t before = tc_stripe_housing(s), n = s->l1->paged && !s->l1->thin ? 1 : tc_index_lanes(&s->index);
    if (!tc_l1_grant(s, tc_slab_reserve_growth(&s->slab, n)))
        return;
    tc_slab_reserve(&s->slab, n, &map);
    tc_dropped_add(dropped, map);
    tc_stripe_account(s, tc_stripe_housing(s), before);
}

static uint32_t take_extent(struct tc_stripe *s, size_t bytes, bool anywhere, struct tc_block **map)
{
    void *p = tc_extents_take(&s->extents, bytes, anywhere);
    if (p == NULL)
        return 0;
    uint32_t cell = tc_slab_adopt(&s->slab, p, map);
    if (cell == 0) {
        tc_extents_give(&s->extents, p);
        return 0;
    }
    tc_extents_set_number(p, cell & TC_CELL_PLACE);
    return cell | TC_CELL_EXTENT;
}

uint32_t tc_stripe_take(struct tc_stripe *s, size_t bytes, bool anywhere, uint32_t *where, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    uint64_t before = tc_stripe_housing(s);
    struct tc_block *map = NULL;
    bool in_page = goes_to_page(s, bytes, anywhere);
    *where = tc_stripe_first_version(s) | (in_page ? TC_ENTRY_HOUSED : TC_ENTRY_IN_EXTENT);
    uint32_t cell = in_page ? tc_slab_take(&s->slab, bytes, &map) : take_extent(s, bytes, anywhere, &map);
    if (cell & TC_CELL_APART && bytes <= TC_SLAB_MOST)
        s->apart_of[tc_slab_class(bytes)]++;
    tc_dropped_add(dropped, map);
    tc_stripe_account(s, tc_stripe_housing(s), before);
    return cell;
}

static uint32_t adopt(struct tc_stripe *s, struct tc_entry *e, struct tc_dropped *dropped)
{
    uint64_t before = tc_stripe_housing(s);
    struct tc_block *map = NULL;
    tc_assert(!tc_entry_is_lent(e));
    uint32_t cell = tc_slab_adopt(&s->slab, tc_entry_node(e, s->l1->node_bytes), &map);
    tc_dropped_add(dropped, map);
    tc_stripe_account(s, tc_stripe_housing(s), before);
    if (cell == 0)
        return 0;
    atomic_fetch_or_explicit(&e->refs, TC_ENTRY_SHARED, memory_order_relaxed);
    atomic_fetch_add_explicit(&e->refs, 1 | TC_ENTRY_IN_L1, memory_order_relaxed);
    tc_stripe_account(s, tc_l1_entry_bytes(s->l1, e), 0);
    tc_stripe_count_apart(s, s->apart_of, e, 1);
    return cell;
}

uint32_t tc_stripe_house(struct tc_stripe *s, struct tc_entry *e, bool anywhere, struct tc_dropped *dropped)
{
    tc_lock_assert_held(&s->lock);
    size_t node_bytes = s->l1->node_bytes, bytes = tc_entry_copied_bytes(e, node_bytes);
    if (!tc_l1_houses(s->l1, bytes))
        return adopt(s, e, dropped);
    uint32_t where, cell = tc_stripe_take(s, bytes, anywhere, &where, dropped);
    if (cell != 0)
        tc_entry_copy(tc_cell(&s->index.view->cells, cell), where | TC_ENTRY_IN_L1, e, node_bytes);
    return cell;
}
