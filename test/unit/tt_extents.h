/* Extents whose every chunk is known, for the tests of base/extents.h. */
#ifndef TT_EXTENTS_H
#define TT_EXTENTS_H

#include "base/extents.h"
#include "tt_alloc.h"

#define TT_EXTENTS_CHUNKS_MOST 1024
/* Of a chunk, its own head and the word at its end. */
#define TT_EXTENTS_AROUND 48

/* The allocator of the chunks: tt_alloc, which of them it has live, and their heap bytes. */
struct tt_extents {
    struct tc_extents x;
    struct tt_alloc memory;
    struct tc_alloc counted, table; /* chunks come from table */
    struct {
        char *at;
        size_t bytes;
    } chunks[TT_EXTENTS_CHUNKS_MOST];
    size_t n_chunks;
    uint64_t heap; /* bytes of them */
};

int tt_extents_setup(void **state); /* a struct tt_extents */
int tt_extents_teardown(void **state);

/* Of the test's own thread. Succeeds, and checks that it costs what was said before, and lies in a chunk. */
void *tt_extents_take(struct tt_extents *f, size_t n);
void *tt_extents_take_tight(struct tt_extents *f, size_t n); /* the same, from the smallest chunk that will do */
/* The same of what takes so many units of a chunk, if that leaves nothing or at least two of what it is taken from. */
void *tt_extents_take_units(struct tt_extents *f, size_t units);
void tt_extents_give(struct tt_extents *f, void *p); /* checks the account too */

/* The place in chunks of the one in which it lies. Ends the test if it lies in none. */
size_t tt_extents_chunk_of(const struct tt_extents *f, const void *p);

#endif
