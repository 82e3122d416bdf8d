/* Where the entries of one stripe lie, by number: 32 bits name a cell (base/slab.h). For who reads; a line that is
 * written when the maps grow. */
#ifndef TC_BASE_CELLS_H
#define TC_BASE_CELLS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define TC_CELL_UNIT 8
#define TC_PAGE_BITS 13
#define TC_PAGE_BYTES (1u << TC_PAGE_BITS)
#define TC_CELL_OFFSET_BITS (TC_PAGE_BITS - 3)
#define TC_CELL_OFFSET_MOST ((UINT32_C(1) << TC_CELL_OFFSET_BITS) - 1)
#define TC_CELL_APART (UINT32_C(1) << 31) /* the rest of the number is a place in apart; else page and offset */

struct tc_cells {
    _Atomic(char **) pages, apart; /* addresses by place */
};

/* With the lock of the cells' owner, or without it for a cell whose number was read, with acquire, after it was taken,
 * and which is not given back meanwhile (base/readers.h). */
static inline __attribute__((always_inline)) void *tc_cell(const struct tc_cells *c, uint32_t cell)
{
    if (__builtin_expect((cell & TC_CELL_APART) != 0, 0))
        return atomic_load_explicit(&c->apart, memory_order_acquire)[cell & ~TC_CELL_APART];
    char *page = atomic_load_explicit(&c->pages, memory_order_acquire)[cell >> TC_CELL_OFFSET_BITS];
    return page + (size_t)(cell & TC_CELL_OFFSET_MOST) * TC_CELL_UNIT;
}

#endif
