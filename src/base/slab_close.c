/* Pages that are wanted back, or kept from that. */
#include "base/slab_page.h"

#define LOOKS 16  /* pages of a class that are looked at, */
#define STEPS 256 /* and past how many others of which something is kept */

static void reopen(struct tc_slab *s, struct page *p)
{
    p->closing = false;
    count_free(s, p, (int64_t)p->cells - p->taken);
    if (p->taken < p->cells)
        link_page(s, p);
}

void tc_slab_keep(struct tc_slab *s, uint32_t cell)
{
    struct page *p = page_at(s, cell >> TC_CELL_OFFSET_BITS);
    p->kept++;
    tc_assert(!(cell & TC_CELL_APART) && p->kept <= p->taken);
    if (p->closing)
        reopen(s, p);
}

void tc_slab_unkeep(const struct tc_slab *s, uint32_t cell)
{
    struct page *p = page_at(s, cell >> TC_CELL_OFFSET_BITS);
    tc_assert(!(cell & TC_CELL_APART) && p->kept > 0);
    p->kept--;
}

/* Of a class; NULL: there is none from which everything may go. */
static struct page *sparsest(const struct tc_slab *s, unsigned class)
{
    struct page *best = NULL;
    uint32_t at = s->partial[class];
    for (unsigned looks = 0, steps = 0; looks < LOOKS && steps < STEPS && at > 0; steps++) {
        struct page *p = page_at(s, at);
        best = p->kept == 0 && (best == NULL || p->taken < best->taken) ? p : best;
        looks += p->kept == 0;
        at = p->next;
    }
    return best;
}

/* Of the class with most bytes free of those that can spare a page: what is taken of any of its pages has room in the
 * others. */
static struct page *page_to_thin(const struct tc_slab *s)
{
    struct page *best = NULL;
    uint64_t most = 0;
    for (uint64_t left = s->sparse; left != 0; left &= left - 1) {
        unsigned class = (unsigned)__builtin_ctzll(left);
        uint64_t bytes = s->free_cells[class] * (uint64_t)bytes_of_class(class);
        if (bytes <= most)
            continue;
        struct page *p = sparsest(s, class);
        best = p != NULL ? p : best;
        most = p != NULL ? bytes : most;
    }
    return best;
}

static size_t taken_cells(struct page *p, uint32_t *cells)
{
    bool given[TC_PAGE_BYTES / TC_CELL_UNIT] = { false };
    size_t n = 0, units = p->units;
    for (uint16_t at = p->free; at != 0; at = next_free(p, at))
        given[at] = true;
    for (size_t at = HEAD / TC_CELL_UNIT; at < p->fresh; at += units)
        if (!given[at])
            cells[n++] = p->number << TC_CELL_OFFSET_BITS | (uint32_t)at;
    tc_assert(n == p->taken);
    return n;
}

static size_t close_for(struct tc_slab *s, struct page *p, uint32_t *cells)
{
    if (p == NULL)
        return 0;
    retire(s, p);
    return taken_cells(p, cells);
}

size_t tc_slab_close_sparse(struct tc_slab *s, uint32_t *cells)
{
    return close_for(s, page_to_thin(s), cells);
}

size_t tc_slab_close_emptiest(struct tc_slab *s, uint32_t *cells)
{
    struct page *best = NULL;
    for (unsigned class = 1; class < TC_SLAB_CLASSES; class++) {
        struct page *p = sparsest(s, class);
        if (p != NULL && (best == NULL || p->taken * p->units < best->taken * best->units))
            best = p;
    }
    return close_for(s, best, cells);
}
