/* Memory of one owner for things of all sizes up to 32 KiB: extents in chunks of 16 KiB, for large ones up to 64 KiB,
 * from the allocator. What is free lies in lists by size, with a bit for each list that has something, and what is
 * asked for is taken from the smallest that fits (good fit by two-level segregated lists: Masmano, Ripoll, Crespo,
 * Real, "TLSF: a New Dynamic Memory Allocator for Real-Time Systems", 2004); free neighbours become one. A chunk of
 * which nothing is taken goes back to the allocator. Each extent carries a number of its owner's, so that the owner
 * finds what lies in a chunk that he wants back, and moves it.
 *
 * It costs 8 bytes an extent and the rounding to 16; with sizes of all kinds, and always full, some eight hundredths
 * are free in pieces that are too small (docs/l1.md). All of that is in its account: nothing is lost elsewhere.
 *
 * Lock: every function is called with the owner's lock held. */
#ifndef TC_BASE_EXTENTS_H
#define TC_BASE_EXTENTS_H

#include "base/alloc.h"

#define TC_EXTENT_MOST 32768        /* bytes of one */
#define TC_EXTENT_CHUNK 16384       /* bytes of a chunk, as a rule */
#define TC_EXTENT_CHUNK_MOST 65536  /* of one for something large */
#define TC_EXTENT_NUMBER_BITS 25    /* of an owner's number, which is above 0 */
#define TC_EXTENT_UNIT 16
#define TC_EXTENTS_IN_CHUNK_MOST (TC_EXTENT_CHUNK_MOST / TC_EXTENT_UNIT / 2)
#define TC_EXTENT_LISTS 88

struct tc_chunk;
struct tc_free_extent;

struct tc_extents {
    const struct tc_alloc *alloc;
    uint64_t bytes;         /* of the chunks */
    uint64_t free_bytes;    /* of what can be taken in them */
    struct tc_chunk *first; /* of all, in a ring */
    struct tc_free_extent *lists[TC_EXTENT_LISTS];
    uint64_t filled[(TC_EXTENT_LISTS + 63) / 64]; /* a bit for each list */
};

/* fini accepts zeroed memory; it frees the chunks, whatever is taken in them, and leaves the structure as init does. */
void tc_extents_init(struct tc_extents *x, const struct tc_alloc *alloc);
void tc_extents_fini(struct tc_extents *x);

/* What an extent of n bytes takes; n is at most TC_EXTENT_MOST. */
#define TC_EXTENT_HEAD 8
#define TC_EXTENT_LEAST 32
static inline size_t tc_extents_round(size_t n)
{
    size_t bytes = (n + TC_EXTENT_HEAD + TC_EXTENT_UNIT - 1) & ~(size_t)(TC_EXTENT_UNIT - 1);
    return bytes < TC_EXTENT_LEAST ? TC_EXTENT_LEAST : bytes;
}
/* By how much taking n bytes raises x->bytes: 0 if they are free in one piece. tight: a chunk that is opened is the
 * smallest that will do, not one that many of n bytes would fill. */
uint64_t tc_extents_growth(const struct tc_extents *x, size_t n, bool tight);

/* n bytes, 8-byte aligned, not zeroed; NULL, and nothing has changed, when out of memory. The number is not set. */
void *tc_extents_take(struct tc_extents *x, size_t n, bool tight);
void tc_extents_give(struct tc_extents *x, void *p);
void tc_extents_set_number(void *p, uint32_t number);
size_t tc_extents_room(void *p); /* bytes of it: at least what it was taken for */

/* An extent that is not known when to come back: its chunk is not chosen to be closed, and is open again if it was.
 * Once for each; give ends it. */
void tc_extents_keep(struct tc_extents *x, void *p);

/* More is free in pieces than that part of the whole, and a chunk. */
static inline bool tc_extents_are_sparse(const struct tc_extents *x, unsigned part)
{
    return x->free_bytes > x->bytes / part + TC_EXTENT_CHUNK;
}
/* Takes a chunk out of use, the one with least in it among some: nothing is taken from it any more, and it is freed
 * with its last extent. fitting: only one whose extents will find room in others as a rule. numbers has room for
 * TC_EXTENTS_IN_CHUNK_MOST and gets those of what is taken. Returns how many; 0: there is no such chunk. */
size_t tc_extents_close_sparse(struct tc_extents *x, bool fitting, uint32_t *numbers);

/* What was closed is in use again: p lies in it. */
void tc_extents_reopen(struct tc_extents *x, void *p);

bool tc_extents_check(const struct tc_extents *x); /* for tests */

#endif
