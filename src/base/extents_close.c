/* Chunks that are wanted back, or kept from that; and what tests compare. */
#include "base/chunk.h"

/* Puts what is free in the chunk into the lists, or takes it out. */
static void list_all(struct tc_extents *x, struct tc_chunk *c, bool in)
{
    for (struct extent *e = first_of(c); units_of(e) > 0; e = next_of(e)) {
        if (!is_free(e))
            continue;
        if (in)
            tc_extents_list(x, e);
        else
            tc_extents_unlist(x, e);
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
        const struct tc_free_extent *previous = NULL;
        for (struct tc_free_extent *f = x->lists[at]; f != NULL; previous = f, f = f->next, listed++)
            if (!is_free(&f->head) || list_of(units_of(&f->head)) != at || chunk_of(&f->head)->closing ||
                f->previous != previous || listed > sums.n_free)
                return false;
    }
    return listed == sums.n_free && sums.bytes == x->bytes && sums.free_bytes == x->free_bytes;
}
