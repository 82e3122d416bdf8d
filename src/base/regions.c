/* Each region is divided into pages of the system; a bit for each says whether it is taken. What is taken are runs of
 * them, the first that is found in the region that was used last, or in the first that has room. Regions are found by
 * their address. One that is free goes back to the system, unless it is the only one; and of the others what is free
 * does, where that is much: a cache that shrank lies all over them. */
#include "base/regions.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"

#define REGION_BYTES ((size_t)2 << 20)
#define UNIT_BYTES ((size_t)4096)
#define UNITS (REGION_BYTES / UNIT_BYTES)
#define WORD_UNITS 64

struct region {
    char *base;
    uint64_t taken[UNITS / WORD_UNITS];
    uint64_t resident[UNITS / WORD_UNITS]; /* taken since they were last given to the system */
    size_t free;                           /* units */
    size_t longest;                        /* there is no longer run of them, perhaps none that long */
};

struct tc_regions {
    struct tc_lock lock;
    struct region *all; /* by address */
    size_t n, cap, last; /* last: where something was taken or given */
    size_t empty;        /* regions with nothing taken */
    size_t apart_bytes;  /* of what is larger than a region */
    size_t taken;        /* units */
    size_t idle;         /* units that are resident and not taken */
    bool huge;
    bool ending;
};

struct tc_regions *tc_regions_open(bool huge)
{
    struct tc_regions *r = calloc(1, sizeof *r);
    if (r == NULL || tc_lock_init(&r->lock) != 0) {
        free(r);
        return NULL;
    }
    r->huge = huge;
    return r;
}

void tc_regions_end(struct tc_regions *r)
{
    if (r == NULL)
        return;
    tc_lock_acquire(&r->lock);
    r->ending = true;
    tc_lock_release(&r->lock);
}

void tc_regions_close(struct tc_regions *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->n; i++)
        tc_pages_unmap(r->all[i].base, REGION_BYTES);
    tc_lock_fini(&r->lock);
    free(r->all);
    free(r);
}

bool tc_regions_are_huge(const struct tc_regions *r)
{
    return r->huge;
}

static size_t units_of(size_t n)
{
    return (n + UNIT_BYTES - 1) / UNIT_BYTES;
}

/* ---- bits ---- */

static bool is_set(const uint64_t *bits, size_t unit)
{
    return bits[unit / WORD_UNITS] >> unit % WORD_UNITS & 1;
}

static bool is_taken(const struct region *g, size_t unit)
{
    return is_set(g->taken, unit);
}

static void mark(struct tc_regions *r, struct region *g, size_t from, size_t n, bool taken)
{
    for (size_t unit = from; unit < from + n; unit++) {
        uint64_t bit = UINT64_C(1) << unit % WORD_UNITS;
        tc_assert(is_taken(g, unit) != taken);
        g->taken[unit / WORD_UNITS] ^= bit;
        r->idle -= taken && is_set(g->resident, unit);
        g->resident[unit / WORD_UNITS] |= bit;
    }
    g->free += taken ? (size_t)0 - n : n;
    r->taken += taken ? n : (size_t)0 - n;
    r->idle += taken ? 0 : n;
    g->longest = taken ? g->longest : g->free;
}

static void forget(struct tc_regions *r, struct region *g, size_t from, size_t n)
{
    tc_pages_forget(g->base + from * UNIT_BYTES, n * UNIT_BYTES);
    for (size_t unit = from; unit < from + n; unit++)
        g->resident[unit / WORD_UNITS] &= ~(UINT64_C(1) << unit % WORD_UNITS);
    r->idle -= n;
}

/* Where a run of n free units begins; UNITS: there is none. */
static size_t find_run(const struct region *g, size_t n)
{
    size_t run = 0;
    for (size_t unit = 0; unit < UNITS; unit++) {
        if (unit % WORD_UNITS == 0 && g->taken[unit / WORD_UNITS] == UINT64_MAX) {
            run = 0;
            unit += WORD_UNITS - 1;
            continue;
        }
        run = is_taken(g, unit) ? 0 : run + 1;
        if (run == n)
            return unit + 1 - n;
    }
    return UNITS;
}

/* ---- regions ---- */

/* The first region that does not lie below p. */
static size_t place_of(const struct tc_regions *r, const char *p)
{
    size_t low = 0, high = r->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (r->all[middle].base + REGION_BYTES <= p)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool add_region(struct tc_regions *r)
{
    if (r->n == r->cap) {
        size_t cap = r->cap > 0 ? r->cap * 2 : 16;
        struct region *all = realloc(r->all, cap * sizeof *all);
        if (all == NULL)
            return false;
        r->all = all;
        r->cap = cap;
    }
    char *base = tc_pages_map_aligned(REGION_BYTES, r->huge);
    if (base == NULL)
        return false;
    size_t at = place_of(r, base);
    memmove(r->all + at + 1, r->all + at, (r->n - at) * sizeof *r->all);
    r->all[at] = (struct region){ .base = base, .free = UNITS, .longest = UNITS };
    r->n++;
    r->empty++;
    r->last = at;
    return true;
}

static void remove_region(struct tc_regions *r, size_t at)
{
    for (size_t word = 0; word < UNITS / WORD_UNITS; word++)
        r->idle -= (size_t)__builtin_popcountll(r->all[at].resident[word]);
    tc_pages_unmap(r->all[at].base, REGION_BYTES);
    r->n--;
    r->empty--;
    memmove(r->all + at, r->all + at + 1, (r->n - at) * sizeof *r->all);
    r->last = 0;
}

static void *take_from(struct tc_regions *r, size_t at, size_t n)
{
    struct region *g = &r->all[at];
    size_t unit = g->longest >= n && g->free >= n ? find_run(g, n) : UNITS;
    if (unit == UNITS) {
        g->longest = g->longest < n ? g->longest : n - 1;
        return NULL;
    }
    r->empty -= g->free == UNITS;
    mark(r, g, unit, n, true);
    r->last = at;
    return g->base + unit * UNIT_BYTES;
}

static void *take_locked(struct tc_regions *r, size_t n)
{
    void *p = r->last < r->n ? take_from(r, r->last, n) : NULL;
    for (size_t at = 0; p == NULL && at < r->n; at++)
        p = take_from(r, at, n);
    if (p == NULL && add_region(r))
        p = take_from(r, r->last, n);
    return p;
}

void *tc_regions_take(struct tc_regions *r, size_t n)
{
    tc_lock_acquire(&r->lock);
    tc_assert(!r->ending);
    void *p = n <= REGION_BYTES ? take_locked(r, units_of(n)) : tc_pages_map_aligned(n, r->huge);
    r->apart_bytes += n > REGION_BYTES && p != NULL ? n : 0;
    tc_lock_release(&r->lock);
    return p;
}

static void give_locked(struct tc_regions *r, char *p, size_t n)
{
    size_t at = place_of(r, p);
    struct region *g = &r->all[at];
    size_t unit = (size_t)(p - g->base) / UNIT_BYTES;
    mark(r, g, unit, n, false);
    r->last = at;
    if (r->ending)
        return;
    if (!r->huge && r->idle > UNITS / 2 + r->taken / 32) /* huge pages would be taken apart */
        forget(r, g, unit, n);
    if (g->free < UNITS)
        return;
    if (r->empty++ > 0)
        remove_region(r, at);
}

void tc_regions_give(struct tc_regions *r, void *p, size_t n)
{
    tc_lock_acquire(&r->lock);
    if (n <= REGION_BYTES) {
        give_locked(r, p, units_of(n));
    } else {
        tc_pages_unmap(p, n);
        r->apart_bytes -= n;
    }
    tc_lock_release(&r->lock);
}

size_t tc_regions_bytes(struct tc_regions *r)
{
    tc_lock_acquire(&r->lock);
    size_t bytes = r->n * REGION_BYTES + r->apart_bytes;
    tc_lock_release(&r->lock);
    return bytes;
}
