/* A slab whose every byte is counted, for the tests of base/slab.h. */
#ifndef TT_SLAB_H
#define TT_SLAB_H

#include "base/slab.h"
#include "tt_alloc.h"

/* The allocator of the cells: tt_alloc, and the heap bytes of what it has live. */
struct tt_slab {
    struct tc_slab slab;
    struct tc_cells cells;
    struct tt_alloc memory;
    struct tc_alloc counted, table; /* what lies apart comes from counted, pages and maps from table */
    uint64_t heap;                  /* bytes of all that came from table */
    struct tc_block *waiting;       /* maps that were replaced */
    uint64_t waiting_bytes;
};

int tt_slab_setup(void **state); /* a struct tt_slab */
int tt_slab_teardown(void **state);

void tt_slab_keep_waiting(struct tt_slab *f, struct tc_block *b); /* b may be NULL */
void tt_slab_close_waiting(struct tt_slab *f);

/* What the slab says that it takes, and what waits, is what the allocator has live. */
bool tt_slab_costs_are_right(const struct tt_slab *f);

/* Of the test's own thread. Both succeed, and check that the cost is what was said before. */
uint32_t tt_slab_take(struct tt_slab *f, size_t n);
uint32_t tt_slab_adopt(struct tt_slab *f, void *p);

/* Bytes that differ from id to id, and inside what is filled. */
void tt_slab_fill(void *p, uint32_t id, size_t n);
bool tt_slab_is_filled(const void *p, uint32_t id, size_t n);

#endif
