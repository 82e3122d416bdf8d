/* Where the entries of one stripe lie, by number: 27 bits name a cell (base/slab.h). For who reads; a line that is
 * written when the maps grow. */
#ifndef TC_BASE_CELLS_H
#define TC_BASE_CELLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TC_CELL_UNIT 8
#define TC_PAGE_BITS 13
#define TC_PAGE_BYTES (1u << TC_PAGE_BITS)
#define TC_CELL_OFFSET_BITS (TC_PAGE_BITS - 3)
#define TC_CELL_OFFSET_MOST ((UINT32_C(1) << TC_CELL_OFFSET_BITS) - 1)
#define TC_CELL_BITS 27
#define TC_CELL_APART (UINT32_C(1) << (TC_CELL_BITS - 1)) /* the rest is a place in apart; else page and offset */
#define TC_CELL_EXTENT (TC_CELL_APART >> 1) /* with it: an extent (base/extents.h); else in memory of its own */
#define TC_CELL_PLACE (TC_CELL_EXTENT - 1)  /* the place */

struct tc_cells {
    _Atomic(char **) pages, apart; /* addresses by place */
};

static inline bool tc_cell_is_extent(uint32_t cell)
{
    return (cell & (TC_CELL_APART | TC_CELL_EXTENT)) == (TC_CELL_APART | TC_CELL_EXTENT);
}

static inline bool tc_cell_is_alone(uint32_t cell)
{
    return (cell & (TC_CELL_APART | TC_CELL_EXTENT)) == TC_CELL_APART;
}

/* With the lock of the cells' owner, or without it for a cell whose number was read, with acquire, after it was taken,
 * and which is not given back meanwhile (base/readers.h). */
static inline __attribute__((always_inline)) void *tc_cell(const struct tc_cells *c, uint32_t cell)
{
    if (__builtin_expect((cell & TC_CELL_APART) != 0, 0))
        return atomic_load_explicit(&c->apart, memory_order_acquire)[cell & TC_CELL_PLACE];
    char *page = atomic_load_explicit(&c->pages, memory_order_acquire)[cell >> TC_CELL_OFFSET_BITS];
    return page + (size_t)(cell & TC_CELL_OFFSET_MOST) * TC_CELL_UNIT;
}

/* Two cells' numbers, and a bit beside each, in seven bytes behind one that others may write meanwhile. */
#define TC_PAIR_BIT (UINT32_C(1) << TC_CELL_BITS)
struct tc_cell_pair {
    _Atomic uint8_t mark; /* not of the pair */
    uint8_t high;
    uint16_t middle;
    uint32_t low;
};
_Static_assert(sizeof(struct tc_cell_pair) == 8 && TC_CELL_BITS + 1 == 28, "28 bits, four of them in low");

static inline uint32_t tc_pair_first(const struct tc_cell_pair *p)
{
    return p->low & (TC_PAIR_BIT | (TC_PAIR_BIT - 1));
}

static inline uint32_t tc_pair_second(const struct tc_cell_pair *p)
{
    return p->low >> 28 | (uint32_t)p->middle << 4 | (uint32_t)p->high << 20;
}

static inline void tc_pair_set_first(struct tc_cell_pair *p, uint32_t first)
{
    p->low = (p->low & UINT32_C(0xf0000000)) | first;
}

static inline void tc_pair_set_second(struct tc_cell_pair *p, uint32_t second)
{
    p->low = (p->low & UINT32_C(0x0fffffff)) | second << 28;
    p->middle = (uint16_t)(second >> 4);
    p->high = (uint8_t)(second >> 20);
}

static inline void tc_pair_set(struct tc_cell_pair *p, uint32_t first, uint32_t second)
{
    tc_pair_set_first(p, first);
    tc_pair_set_second(p, second);
}

#endif
