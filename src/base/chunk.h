/* What a chunk is, and the extents in it. Each extent, free or taken, begins with a word that says whose it is, how
 * long it and the one before it are, and where in the chunk it stands; so both neighbours and the chunk are found from
 * it. A word that belongs to nobody stands at a chunk's end. For extents.c and extents_close.c. */
#ifndef TC_BASE_CHUNK_H
#define TC_BASE_CHUNK_H

#include "base/extents.h"

/* ---- an extent ---- */

#define NUMBER_BITS TC_EXTENT_NUMBER_BITS
#define UNITS_BITS 12
#define UNITS_MOST ((1u << UNITS_BITS) - 1)
#define END_NUMBER ((UINT32_C(1) << NUMBER_BITS) - 1) /* of the word at the end: never free */
#define TAKEN_NUMBER END_NUMBER                        /* and of what has no other number yet */

#define KEPT (UINT64_C(1) << (NUMBER_BITS + 3 * UNITS_BITS))

/* From the lowest bit: number, 0 if it is free; units of it, of the one before, and from the chunk's begin; whether it
 * is kept. */
struct extent {
    uint64_t word;
};

struct tc_free_extent {
    struct extent head;
    struct tc_free_extent *next, *previous; /* in its list */
};

#define UNIT TC_EXTENT_UNIT
#define LEAST_UNITS (TC_EXTENT_LEAST / UNIT)
_Static_assert(sizeof(struct extent) == TC_EXTENT_HEAD, "what precedes what is taken");
_Static_assert(sizeof(struct tc_free_extent) <= TC_EXTENT_LEAST, "what is free can be listed");

static inline struct extent make(uint32_t number, size_t units, size_t before, size_t at)
{
    return (struct extent){ number | (uint64_t)units << NUMBER_BITS | (uint64_t)before << (NUMBER_BITS + UNITS_BITS) |
                            (uint64_t)at << (NUMBER_BITS + 2 * UNITS_BITS) };
}

static inline uint64_t field(const struct extent *e, unsigned shift, unsigned bits)
{
    return e->word >> shift & ((UINT64_C(1) << bits) - 1);
}

static inline void set_field(struct extent *e, unsigned shift, unsigned bits, uint64_t value)
{
    e->word = (e->word & ~(((UINT64_C(1) << bits) - 1) << shift)) | value << shift;
}

static inline uint32_t number_of(const struct extent *e)
{
    return (uint32_t)field(e, 0, NUMBER_BITS);
}

static inline size_t units_of(const struct extent *e)
{
    return field(e, NUMBER_BITS, UNITS_BITS);
}

static inline size_t before_of(const struct extent *e)
{
    return field(e, NUMBER_BITS + UNITS_BITS, UNITS_BITS);
}

static inline size_t at_of(const struct extent *e)
{
    return field(e, NUMBER_BITS + 2 * UNITS_BITS, UNITS_BITS);
}

static inline bool is_kept(const struct extent *e)
{
    return e->word & KEPT;
}

static inline bool is_free(const struct extent *e)
{
    return number_of(e) == 0;
}

static inline struct extent *extent_at(const void *from, size_t units)
{
    return (struct extent *)(void *)((char *)(uintptr_t)from + units * UNIT);
}

static inline struct extent *next_of(const struct extent *e)
{
    return extent_at(e, units_of(e));
}

static inline void set_before(struct extent *e, size_t before)
{
    set_field(e, NUMBER_BITS + UNITS_BITS, UNITS_BITS, before);
}

static inline struct extent *extent_of(void *p)
{
    return (struct extent *)(void *)((char *)p - sizeof(struct extent));
}

static inline size_t units_for(size_t n)
{
    return tc_extents_round(n) / UNIT;
}

/* ---- a chunk ---- */

struct tc_chunk {
    struct tc_chunk *next, *previous;
    uint32_t bytes;
    uint16_t taken; /* units */
    uint16_t kept;  /* extents: see tc_extents_keep() */
    bool closing;   /* what is free in it is in no list */
};

#define HEAD_UNITS ((sizeof(struct tc_chunk) + UNIT - 1) / UNIT)
#define AROUND_BYTES ((HEAD_UNITS + 1) * UNIT)
_Static_assert(TC_EXTENT_CHUNK_MOST / UNIT <= UNITS_MOST + 1, "each extent says where it is");
_Static_assert(TC_EXTENT_MOST + TC_SYSTEM_PAGE <= TC_EXTENT_CHUNK_MOST, "each has room in a chunk");

static inline size_t room_of(const struct tc_chunk *c)
{
    return (c->bytes - AROUND_BYTES) / UNIT;
}

static inline struct extent *first_of(const struct tc_chunk *c)
{
    return extent_at(c, HEAD_UNITS);
}

static inline struct tc_chunk *chunk_of(const struct extent *e)
{
    return (struct tc_chunk *)(void *)((char *)(uintptr_t)e - at_of(e) * UNIT);
}

/* ---- lists of what is free ---- */

#define FINE_UNITS 32 /* below that each number of units has a list; from there on eight for each power of two */
#define FINE_BITS 5
_Static_assert(FINE_UNITS + (UNITS_BITS - FINE_BITS) * 8 == TC_EXTENT_LISTS, "up to the largest");

static inline unsigned list_of(size_t units)
{
    if (units < FINE_UNITS)
        return (unsigned)units;
    unsigned power = 31 - (unsigned)__builtin_clz((unsigned)units);
    return FINE_UNITS + (power - FINE_BITS) * 8 + (units >> (power - 3) & 7);
}

/* Puts what is free into the list for its size, and takes it out. */
void tc_extents_list(struct tc_extents *x, struct extent *e);
void tc_extents_unlist(struct tc_extents *x, struct extent *e);

#endif
