/* Taking and giving: lists by size, and chunks that come and go. */
#include "base/chunk.h"
#include "base/poison.h"

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

/* ---- lists of what is free ---- */

static void hide(struct extent *e)
{
    HIDE((char *)e + sizeof(struct tc_free_extent), units_of(e) * UNIT - sizeof(struct tc_free_extent));
}

static void show(struct extent *e)
{
    SHOW((char *)e + sizeof(struct tc_free_extent), units_of(e) * UNIT - sizeof(struct tc_free_extent));
}

void tc_extents_list(struct tc_extents *x, struct extent *e)
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

void tc_extents_unlist(struct tc_extents *x, struct extent *e)
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
static size_t chunk_for(size_t units, bool tight)
{
    size_t n = units * UNIT, least = (n + AROUND_BYTES + TC_SYSTEM_PAGE - 1) / TC_SYSTEM_PAGE * TC_SYSTEM_PAGE;
    size_t best = 0, best_rest = 0;
    for (size_t bytes = least > TC_EXTENT_CHUNK ? least : TC_EXTENT_CHUNK; bytes <= TC_EXTENT_CHUNK_MOST;
         bytes += TC_SYSTEM_PAGE) {
        size_t rest = (bytes - AROUND_BYTES) % n;
        if (tight || rest <= bytes / 16)
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
    tc_extents_list(x, e);
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

uint64_t tc_extents_growth(const struct tc_extents *x, size_t n, bool tight)
{
    size_t units = units_for(n);
    return find(x, units) != NULL ? 0 : tc_pages_heap_bytes(x->alloc, chunk_for(units, tight));
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
    tc_extents_list(x, other);
    hide(other);
    return units;
}

void *tc_extents_take(struct tc_extents *x, size_t n, bool tight)
{
    tc_assert(n <= TC_EXTENT_MOST);
    size_t units = units_for(n);
    struct extent *e = find(x, units);
    if (e == NULL) {
        struct tc_chunk *c = open_chunk(x, chunk_for(units, tight));
        if (c == NULL)
            return NULL;
        e = first_of(c);
    }
    tc_extents_unlist(x, e);
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
            tc_extents_unlist(x, after);
        join(e, after);
    }
    struct extent *before = before_of(e) > 0 ? extent_at(c, at_of(e) - before_of(e)) : NULL;
    if (before != NULL && is_free(before)) {
        if (!c->closing)
            tc_extents_unlist(x, before);
        e = join(before, e);
    }
    if (!c->closing)
        tc_extents_list(x, e);
    hide(e);
    if (c->taken > 0)
        return;
    if (!c->closing)
        tc_extents_unlist(x, e);
    close_chunk(x, c);
}
