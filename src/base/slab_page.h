/* What a page of a slab is: its head and the sizes of cells. For slab.c and slab_close.c. */
#ifndef TC_BASE_SLAB_PAGE_H
#define TC_BASE_SLAB_PAGE_H

#include <string.h>

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
    uint16_t kept;  /* cells: see tc_slab_keep() */
    bool closing;   /* nothing is taken from it any more; its free cells do not count */
};

#define HEAD ((sizeof(struct page) + TC_CELL_UNIT - 1) / TC_CELL_UNIT * TC_CELL_UNIT)
#define ROOM (TC_PAGE_BYTES - HEAD)
#define FINE_CLASSES (TC_SLAB_FINE / TC_CELL_UNIT) /* the first is not used */
#define MANY_CELLS 30   /* in a page of the class that follows */
#define FEW_CELLS 4
_Static_assert(TC_SLAB_CLASSES <= 64, "a bit for each in a word");
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

static inline char **places(const struct tc_map *m)
{
    return atomic_load_explicit(m->at, memory_order_relaxed);
}

static inline struct page *page_at(const struct tc_slab *s, uint32_t number)
{
    return (struct page *)(void *)places(&s->pages)[number];
}

static inline void link_page(struct tc_slab *s, struct page *p)
{
    uint32_t first = s->partial[p->class];
    p->next = first;
    p->previous = 0;
    if (first > 0)
        page_at(s, first)->previous = p->number;
    s->partial[p->class] = p->number;
}

static inline void unlink_page(struct tc_slab *s, struct page *p)
{
    if (p->next > 0)
        page_at(s, p->next)->previous = p->previous;
    if (p->previous > 0)
        page_at(s, p->previous)->next = p->next;
    else
        s->partial[p->class] = p->next;
}

static inline void count_free(struct tc_slab *s, const struct page *p, int64_t cells)
{
    uint32_t n = s->free_cells[p->class] + (uint32_t)cells;
    s->free_cells[p->class] = n;
    s->sparse = (s->sparse & ~(UINT64_C(1) << p->class)) | (uint64_t)(n >= p->cells) << p->class;
    s->free_bytes += (uint64_t)(cells * p->units * TC_CELL_UNIT);
}

/* Takes a page out of use. */
static inline void retire(struct tc_slab *s, struct page *p)
{
    unlink_page(s, p);
    count_free(s, p, p->taken - (int64_t)p->cells);
    p->closing = true;
}

static inline char *cell_at(struct page *p, size_t offset)
{
    return (char *)p + offset * TC_CELL_UNIT;
}

/* The offset of the free cell behind that one; 0: it was the last. */
static inline uint16_t next_free(struct page *p, uint16_t at)
{
    uint16_t next;
    SHOW(cell_at(p, at), sizeof next);
    memcpy(&next, cell_at(p, at), sizeof next);
    HIDE(cell_at(p, at), sizeof next);
    return next;
}

#endif
