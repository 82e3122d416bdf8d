/* Chunks and the extents in them. Each extent, free or taken, begins with a word that says whose it is, how long it and
 * the one before it are, and where in the chunk it stands; so both neighbours and the chunk are found from it. A word
 * that belongs to nobody stands at a chunk's end. */
#include "base/extents.h"

#include <string.h>

#include "base/poison.h"

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

static struct extent make(uint32_t number, size_t units, size_t before, size_t at)
{
    return (struct extent){ number | (uint64_t)units << NUMBER_BITS | (uint64_t)before << (NUMBER_BITS + UNITS_BITS) |
                            (uint64_t)at << (NUMBER_BITS + 2 * UNITS_BITS) };
}

static uint64_t field(const struct extent *e, unsigned shift, unsigned bits)
{
    return e->word >> shift & ((UINT64_C(1) << bits) - 1);
}

static void set_field(struct extent *e, unsigned shift, unsigned bits, uint64_t value)
{
    e->word = (e->word & ~(((UINT64_C(1) << bits) - 1) << shift)) | value << shift;
}

static uint32_t number_of(const struct extent *e)
{
    return (uint32_t)field(e, 0, NUMBER_BITS);
}

static size_t units_of(const struct extent *e)
{
    return field(e, NUMBER_BITS, UNITS_BITS);
}

static size_t before_of(const struct extent *e)
{
    return field(e, NUMBER_BITS + UNITS_BITS, UNITS_BITS);
}

static size_t at_of(const struct extent *e)
{
    return field(e, NUMBER_BITS + 2 * UNITS_BITS, UNITS_BITS);
}

static bool is_kept(const struct extent *e)
{
    return e->word & KEPT;
}

static bool is_free(const struct extent *e)
{
    return number_of(e) == 0;
}

static struct extent *extent_at(const void *from, size_t units)
{
    return (struct extent *)(void *)((char *)(uintptr_t)from + units * UNIT);
}

static struct extent *next_of(const struct extent *e)
{
    return extent_at(e, units_of(e));
}

static void set_before(struct extent *e, size_t before)
{
    set_field(e, NUMBER_BITS + UNITS_BITS, UNITS_BITS, before);
}

static struct extent *extent_of(void *p)
{
    return (struct extent *)(void *)((char *)p - sizeof(struct extent));
}

static size_t units_for(size_t n)
{
    return tc_extents_round(n) / UNIT;
}

void tc_extents_set_number(void *p, uint32_t number)
{
    struct extent *e = extent_of(p);
    tc_assert(number > 0 && number < END_NUMBER && !is_free(e));
    set_field(e, 0, NUMBER_BITS, number);
}

size_t tc_extents_room(void *p)
{
    return units_of(extent_of(p)) * UNIT - sizeof(struct extent);
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

static size_t room_of(const struct tc_chunk *c)
{
    return (c->bytes - AROUND_BYTES) / UNIT;
}

static struct extent *first_of(const struct tc_chunk *c)
{
    return extent_at(c, HEAD_UNITS);
}

static struct tc_chunk *chunk_of(const struct extent *e)
{
    return (struct tc_chunk *)(void *)((char *)(uintptr_t)e - at_of(e) * UNIT);
}

/* ---- lists of what is free ---- */

#define FINE_UNITS 32 /* below that each number of units has a list; from there on eight for each power of two */
#define FINE_BITS 5
_Static_assert(FINE_UNITS + (UNITS_BITS - FINE_BITS) * 8 == TC_EXTENT_LISTS, "up to the largest");

static unsigned list_of(size_t units)
{
    if (units < FINE_UNITS)
        return (unsigned)units;
    unsigned power = 31 - (unsigned)__builtin_clz((unsigned)units);
    return FINE_UNITS + (power - FINE_BITS) * 8 + (units >> (power - 3) & 7);
}

static void hide(struct extent *e)
{
    HIDE((char *)e + sizeof(struct tc_free_extent), units_of(e) * UNIT - sizeof(struct tc_free_extent));
}

static void show(struct extent *e)
{
    SHOW((char *)e + sizeof(struct tc_free_extent), units_of(e) * UNIT - sizeof(struct tc_free_extent));
}

static void list(struct tc_extents *x, struct extent *e)
{
    struct tc_free_extent *f = (struct tc_free_extent *)(void *)e;
    unsigned at = list_of(units_of(e));
    f->previous = NULL;
    f->next = x->lists[at];
    if (f->next != NULL)
        f->next->previous = f;
    x->lists[at] = f;
    x->filled[at / 64] |= UINT64_C(1) << at % 64;
    x->free_bytes += units_of(e) * UNIT;
}

static void unlist(struct tc_extents *x, struct extent *e)
{
    struct tc_free_extent *f = (struct tc_free_extent *)(void *)e;
    unsigned at = list_of(units_of(e));
    if (f->next != NULL)
        f->next->previous = f->previous;
    if (f->previous != NULL)
        f->previous->next = f->next;
    else
        x->lists[at] = f->next;
    if (x->lists[at] == NULL)
        x->filled[at / 64] &= ~(UINT64_C(1) << at % 64);
    x->free_bytes -= units_of(e) * UNIT;
}

#define LOOKS 8 /* at what lies in one list */

/* The smallest that fits among the first of a list. */
static struct extent *fitting_in(const struct tc_extents *x, unsigned at, size_t units)
{
    struct extent *best = NULL;
    unsigned looks = 0;
    for (struct tc_free_extent *f = x->lists[at]; f != NULL && looks < LOOKS; f = f->next, looks++)
        if (units_of(&f->head) >= units && (best == NULL || units_of(&f->head) < units_of(best)))
            best = &f->head;
    return best;
}

static unsigned filled_from(const struct tc_extents *x, unsigned at)
{
    for (unsigned word = at / 64; word < TC_ARRAY_LEN(x->filled); word++) {
        uint64_t bits = x->filled[word] & (word == at / 64 ? UINT64_MAX << at % 64 : UINT64_MAX);
        if (bits != 0)
            return word * 64 + (unsigned)__builtin_ctzll(bits);
    }
    return TC_EXTENT_LISTS;
}

static struct extent *find(const struct tc_extents *x, size_t units)
{
    unsigned at = list_of(units);
    struct extent *e = fitting_in(x, at, units);
    if (e != NULL)
        return e;
    at = filled_from(x, at + 1);
    return at < TC_EXTENT_LISTS ? fitting_in(x, at, units) : NULL;
}

/* ---- chunks ---- */

/* Where only extents of that size come, most of a chunk should be of use: the first that leaves a sixteenth at most, or
 * the one that leaves least. */
static size_t chunk_for(size_t units)
{
    size_t n = units * UNIT, least = (n + AROUND_BYTES + TC_SYSTEM_PAGE - 1) / TC_SYSTEM_PAGE * TC_SYSTEM_PAGE;
    size_t best = 0, best_rest = 0;
    for (size_t bytes = least > TC_EXTENT_CHUNK ? least : TC_EXTENT_CHUNK; bytes <= TC_EXTENT_CHUNK_MOST;
         bytes += TC_SYSTEM_PAGE) {
        size_t rest = (bytes - AROUND_BYTES) % n;
        if (rest <= bytes / 16)
            return bytes;
        if (best == 0 || rest * best < best_rest * bytes) {
            best = bytes;
            best_rest = rest;
        }
    }
    return best;
}

static void link_chunk(struct tc_extents *x, struct tc_chunk *c)
{
    struct tc_chunk *first = x->first != NULL ? x->first : c;
    c->next = first;
    c->previous = x->first != NULL ? first->previous : c;
    c->previous->next = c;
    first->previous = c;
    x->first = first;
}

static void unlink_chunk(struct tc_extents *x, struct tc_chunk *c)
{
    c->next->previous = c->previous;
    c->previous->next = c->next;
    if (x->first == c)
        x->first = c->next != c ? c->next : NULL;
}

static struct tc_chunk *open_chunk(struct tc_extents *x, size_t bytes)
{
    struct tc_chunk *c = tc_alloc_pages(x->alloc, bytes);
    if (c == NULL)
        return NULL;
    *c = (struct tc_chunk){ .bytes = (uint32_t)bytes };
    struct extent *e = first_of(c);
    *e = make(0, room_of(c), 0, HEAD_UNITS);
    *next_of(e) = make(END_NUMBER, 0, room_of(c), HEAD_UNITS + room_of(c));
    x->bytes += tc_pages_heap_bytes(x->alloc, bytes);
    link_chunk(x, c);
    list(x, e);
    hide(e);
    return c;
}

static void close_chunk(struct tc_extents *x, struct tc_chunk *c)
{
    x->bytes -= tc_pages_heap_bytes(x->alloc, c->bytes);
    unlink_chunk(x, c);
    SHOW(c, c->bytes);
    tc_free_pages(x->alloc, c, c->bytes);
}

void tc_extents_init(struct tc_extents *x, const struct tc_alloc *alloc)
{
    *x = (struct tc_extents){ .alloc = alloc };
}

void tc_extents_fini(struct tc_extents *x)
{
    while (x->first != NULL)
        close_chunk(x, x->first);
    *x = (struct tc_extents){ .alloc = x->alloc };
}

/* ---- taking and giving ---- */

uint64_t tc_extents_growth(const struct tc_extents *x, size_t n)
{
    size_t units = units_for(n);
    return find(x, units) != NULL ? 0 : tc_pages_heap_bytes(x->alloc, chunk_for(units));
}

/* Leaves what an extent does not need as another, if it can be one. */
static size_t split(struct tc_extents *x, struct extent *e, size_t units)
{
    size_t all = units_of(e), rest = all - units;
    if (rest < LEAST_UNITS)
        return all;
    struct extent *other = extent_at(e, units);
    *other = make(0, rest, units, at_of(e) + units);
    set_before(next_of(other), rest);
    list(x, other);
    hide(other);
    return units;
}

void *tc_extents_take(struct tc_extents *x, size_t n)
{
    tc_assert(n <= TC_EXTENT_MOST);
    size_t units = units_for(n);
    struct extent *e = find(x, units);
    if (e == NULL) {
        struct tc_chunk *c = open_chunk(x, chunk_for(units));
        if (c == NULL)
            return NULL;
        e = first_of(c);
    }
    unlist(x, e);
    show(e);
    units = split(x, e, units);
    *e = make(TAKEN_NUMBER, units, before_of(e), at_of(e));
    chunk_of(e)->taken = (uint16_t)(chunk_of(e)->taken + units);
    return e + 1;
}

/* Makes one of two neighbours, which are in no list. */
static struct extent *join(struct extent *e, struct extent *with)
{
    *e = make(0, units_of(e) + units_of(with), before_of(e), at_of(e));
    set_before(next_of(e), units_of(e));
    return e;
}

void tc_extents_give(struct tc_extents *x, void *p)
{
    struct extent *e = extent_of(p), *after = next_of(e);
    struct tc_chunk *c = chunk_of(e);
    tc_assert(!is_free(e));
    c->kept = (uint16_t)(c->kept - is_kept(e));
    c->taken = (uint16_t)(c->taken - units_of(e));
    *e = make(0, units_of(e), before_of(e), at_of(e));
    if (is_free(after)) {
        if (!c->closing)
            unlist(x, after);
        join(e, after);
    }
    struct extent *before = before_of(e) > 0 ? extent_at(c, at_of(e) - before_of(e)) : NULL;
    if (before != NULL && is_free(before)) {
        if (!c->closing)
            unlist(x, before);
        e = join(before, e);
    }
    if (!c->closing)
        list(x, e);
    hide(e);
    if (c->taken > 0)
        return;
    if (!c->closing)
        unlist(x, e);
    close_chunk(x, c);
}

/* ---- chunks that are wanted back ---- */

/* Puts what is free in the chunk into the lists, or takes it out. */
static void list_all(struct tc_extents *x, struct tc_chunk *c, bool in)
{
    for (struct extent *e = first_of(c); units_of(e) > 0; e = next_of(e)) {
        if (!is_free(e))
            continue;
        if (in)
            list(x, e);
        else
            unlist(x, e);
    }
}

void tc_extents_reopen(struct tc_extents *x, void *p)
{
    struct tc_chunk *c = chunk_of(extent_of(p));
    tc_assert(c->closing);
    c->closing = false;
    list_all(x, c, true);
}

void tc_extents_keep(struct tc_extents *x, void *p)
{
    struct extent *e = extent_of(p);
    struct tc_chunk *c = chunk_of(e);
    tc_assert(!is_free(e) && !is_kept(e));
    e->word |= KEPT;
    c->kept++;
    if (c->closing)
        tc_extents_reopen(x, p);
}

static bool may_close(const struct tc_extents *x, const struct tc_chunk *c, bool fitting)
{
    size_t taken = c->taken * (size_t)UNIT, free = room_of(c) * UNIT - taken;
    return !c->closing && c->kept == 0 && (!fitting || taken <= x->free_bytes - free);
}

#define CHUNKS_LOOKED_AT 32

static bool is_sparser(const struct tc_chunk *c, const struct tc_chunk *than)
{
    return than == NULL || (uint64_t)c->taken * than->bytes < (uint64_t)than->taken * c->bytes;
}

/* The next search begins where this one ends. */
static struct tc_chunk *sparsest(struct tc_extents *x, bool fitting)
{
    struct tc_chunk *best = NULL, *c = x->first;
    for (unsigned n = 0; n < CHUNKS_LOOKED_AT && (n == 0 || c != x->first); n++, c = c->next)
        best = may_close(x, c, fitting) && is_sparser(c, best) ? c : best;
    x->first = c;
    return best;
}

size_t tc_extents_close_sparse(struct tc_extents *x, bool fitting, uint32_t *numbers)
{
    struct tc_chunk *c = x->first != NULL ? sparsest(x, fitting) : NULL;
    if (c == NULL)
        return 0;
    list_all(x, c, false);
    c->closing = true;
    size_t n = 0;
    for (struct extent *e = first_of(c); units_of(e) > 0; e = next_of(e))
        if (!is_free(e))
            numbers[n++] = number_of(e);
    return n;
}

/* ---- check ---- */

struct sums {
    uint64_t bytes, free_bytes;
    size_t n_free;
};

static bool chunk_is_right(const struct tc_extents *x, const struct tc_chunk *c, struct sums *sums)
{
    size_t taken = 0, kept = 0, before = 0, at = HEAD_UNITS;
    bool was_free = false;
    const struct extent *e = first_of(c);
    for (; units_of(e) > 0; e = next_of(e)) {
        if (at_of(e) != at || before_of(e) != before || (is_free(e) && was_free) || (is_free(e) && is_kept(e)))
            return false;
        before = units_of(e);
        at += before;
        was_free = is_free(e);
        taken += was_free ? 0 : before;
        kept += is_kept(e);
        sums->n_free += was_free && !c->closing;
        sums->free_bytes += was_free && !c->closing ? before * UNIT : 0;
    }
    sums->bytes += tc_pages_heap_bytes(x->alloc, c->bytes);
    return at_of(e) == at && before_of(e) == before && (at + 1) * UNIT == c->bytes && taken == c->taken && taken > 0 &&
           kept == c->kept && c->next->previous == c;
}

bool tc_extents_check(const struct tc_extents *x)
{
    struct sums sums = { 0, 0, 0 };
    const struct tc_chunk *c = x->first;
    if (c != NULL)
        do
            if (!chunk_is_right(x, c, &sums))
                return false;
        while ((c = c->next) != x->first);
    size_t listed = 0;
    for (unsigned at = 0; at < TC_EXTENT_LISTS; at++) {
        if ((x->lists[at] != NULL) != (x->filled[at / 64] >> at % 64 & 1))
            return false;
        for (struct tc_free_extent *f = x->lists[at]; f != NULL; f = f->next, listed++)
            if (!is_free(&f->head) || list_of(units_of(&f->head)) != at || chunk_of(&f->head)->closing ||
                (f->next != NULL && f->next->previous != f) || listed > sums.n_free)
                return false;
    }
    return listed == sums.n_free && sums.bytes == x->bytes && sums.free_bytes == x->free_bytes;
}
