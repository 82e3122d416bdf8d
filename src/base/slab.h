/* The memory of one stripe's entries: it gives out cells and names them by number (base/cells.h).
 *
 * Small cells lie in pages of 8 KiB from the allocator, each divided into cells of one size: every multiple of 8 bytes
 * up to 256, from there on what a page divided by 30, 29, ... 4 gives, so that a page's rest is less than 8 bytes a
 * cell. A page of which nothing is taken goes back to the allocator. What is larger lies apart, in extents
 * (base/extents.h) or in memory of its own, and so does what its owner has too little of for pages. Pages and what lies
 * apart have their places in two maps, which only grow.
 *
 * Lock: every function is called with the owner's lock held. */
#ifndef TC_BASE_SLAB_H
#define TC_BASE_SLAB_H

#include "base/alloc.h"
#include "base/cells.h"

#define TC_SLAB_CLASSES 60
#define TC_SLAB_FINE 256 /* up to here every multiple of the unit is a size */
#define TC_SLAB_MOST 2040 /* bytes of a cell in a page */
#define TC_SLAB_PAGES_MOST (TC_CELL_APART >> TC_CELL_OFFSET_BITS) /* there are no more numbers: half a GiB */

struct tc_map {
    _Atomic(char **) *at; /* behind a struct tc_block. Free places are linked: see slab.c */
    uint32_t n;           /* places */
    uint32_t fresh;       /* those from here on were never used */
    uint32_t free;        /* first of the free places before, or 0 */
};

struct tc_slab {
    struct tc_map pages, apart;
    const struct tc_alloc *alloc;
    uint64_t bytes;      /* heap bytes of pages and maps */
    uint64_t free_bytes; /* of cells in pages that nobody has */
    uint32_t partial[TC_SLAB_CLASSES];  /* by class: a page with free cells, or 0; linked through their heads */
    uint32_t free_cells[TC_SLAB_CLASSES];
    uint64_t sparse; /* a bit for each class with so many free cells that a page of it could be spared */
    uint16_t pages_of[TC_SLAB_CLASSES];
};

/* cells is zeroed and says from then on where what is given out lies; it stays where it is. fini accepts zeroed memory;
 * it frees pages and maps, not what lies apart, and leaves both structures as init does. */
void tc_slab_init(struct tc_slab *s, struct tc_cells *cells, const struct tc_alloc *alloc);
void tc_slab_fini(struct tc_slab *s);

/* The bytes of the cell that so many bytes get: n is at most TC_SLAB_MOST. */
size_t tc_slab_round_coarse(size_t n);
static inline size_t tc_slab_round(size_t n)
{
    if (n > TC_SLAB_FINE)
        return tc_slab_round_coarse(n);
    return n > 0 ? (n + TC_CELL_UNIT - 1) & ~(size_t)(TC_CELL_UNIT - 1) : TC_CELL_UNIT;
}

/* For owners who have pages only of the sizes that they have many of. n is at most TC_SLAB_MOST. */
unsigned tc_slab_coarse_class(size_t n);
static inline unsigned tc_slab_class(size_t n)
{
    if (n > TC_SLAB_FINE)
        return tc_slab_coarse_class(n);
    return n > 0 ? (unsigned)((n + TC_CELL_UNIT - 1) / TC_CELL_UNIT) : 1;
}
unsigned tc_slab_cells_of_page(unsigned class);
static inline bool tc_slab_has_page(const struct tc_slab *s, unsigned class)
{
    return s->pages_of[class] > 0;
}

/* Whether there is a number for a cell of n bytes. */
bool tc_slab_has_number(const struct tc_slab *s, size_t n);
/* By how much taking a cell of that size, or adopting, will raise s->bytes. */
uint64_t tc_slab_take_growth(const struct tc_slab *s, size_t n);
uint64_t tc_slab_adopt_growth(const struct tc_slab *s);

/* By how much a reserve of places for n things that lie apart will, and making it: without memory nothing changes. */
uint64_t tc_slab_reserve_growth(const struct tc_slab *s, size_t n);
void tc_slab_reserve(struct tc_slab *s, size_t n, struct tc_block **before);

/* A cell of n bytes, at most TC_SLAB_MOST, 8-byte aligned, not zeroed; 0, and nothing has changed, when out of memory
 * or of numbers. *before: a map that grew, for who reads it still, or untouched. */
uint32_t tc_slab_take(struct tc_slab *s, size_t n, struct tc_block **before);
/* A number for memory that lies apart, at an even address; 0 and *before as above. */
uint32_t tc_slab_adopt(struct tc_slab *s, void *p, struct tc_block **before);
/* The bytes of a cell that lies in a page: what it was taken for, rounded. */
size_t tc_slab_cell_bytes(const struct tc_slab *s, uint32_t cell);
/* Nobody reads the cell any more. Of what lies apart the number only: the memory is the caller's again. */
void tc_slab_give(struct tc_slab *s, uint32_t cell);

/* Says that a cell in a page will stay taken for a time that nobody knows: its page is not chosen by those that follow,
 * and is in use again if it was. unkeep: it is about to be given. */
void tc_slab_keep(struct tc_slab *s, uint32_t cell);
void tc_slab_unkeep(const struct tc_slab *s, uint32_t cell);

/* Chooses a page whose taken cells all find free ones of their size in other pages, the one with fewest of them among
 * those that it looks at, and takes it out of use: nothing is taken from it any more, and it is freed with its last
 * cell. cells has room for TC_PAGE_BYTES / TC_CELL_UNIT and gets the taken ones. Returns how many; 0: there is no such
 * page. */
size_t tc_slab_close_sparse(struct tc_slab *s, uint32_t *cells);
/* The same of the page with the fewest bytes taken, whether others have room for them or not. */
size_t tc_slab_close_emptiest(struct tc_slab *s, uint32_t *cells);

bool tc_slab_check(const struct tc_slab *s); /* counts and lists agree with what is there; for tests */

#endif
