/* What a page of a slab is: its head and the sizes of cells. For slab.c. */
#ifndef TC_BASE_SLAB_PAGE_H
#define TC_BASE_SLAB_PAGE_H

#include "base/poison.h"
#include "base/slab.h"

/* The head of a page; its cells follow. Offsets are in units; 0 is none, since the head is there. */
struct page {
    uint32_t number;
    uint32_t next, previous; /* among those of its class with free cells; numbers, or 0 */
    uint16_t class;
    uint16_t units; /* of a cell, */
    uint16_t cells; /* and how many there are: by the class */
    uint16_t taken; /* cells */
    uint16_t free;  /* the first of the cells that were given back */
    uint16_t fresh; /* the first that was never taken */
    bool closing;   /* nothing is taken from it any more; its free cells do not count */
};

#define HEAD ((sizeof(struct page) + TC_CELL_UNIT - 1) / TC_CELL_UNIT * TC_CELL_UNIT)
#define ROOM (TC_PAGE_BYTES - HEAD)
#define FINE_CLASSES (TC_SLAB_FINE / TC_CELL_UNIT) /* the first is not used */
#define MANY_CELLS 30   /* in a page of the class that follows */
#define FEW_CELLS 4
_Static_assert(FINE_CLASSES + 1 + MANY_CELLS - FEW_CELLS == TC_SLAB_CLASSES - 1, "each class has its place");
_Static_assert(ROOM / MANY_CELLS / TC_CELL_UNIT > FINE_CLASSES, "the first of them is larger than all before");
_Static_assert(ROOM / FEW_CELLS / TC_CELL_UNIT * TC_CELL_UNIT == TC_SLAB_MOST, "the largest cell");

static inline size_t bytes_of_class(unsigned class)
{
    if (class <= FINE_CLASSES)
        return class * TC_CELL_UNIT;
    return ROOM / (FINE_CLASSES + 1 + MANY_CELLS - class) / TC_CELL_UNIT * TC_CELL_UNIT;
}

static inline unsigned cells_of_class(unsigned class)
{
    return (unsigned)(ROOM / bytes_of_class(class));
}

#endif
