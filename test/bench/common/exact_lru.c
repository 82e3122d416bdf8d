/* An exact LRU over ids: a doubly linked ring in two arrays, with a sentinel behind the last id. Its next is the most
 * recently used. */
#include "exact_lru.h"

#include <stdlib.h>

#include "report.h"

struct ring {
    uint32_t sentinel;
    uint32_t *next, *prev; /* next of an id that is not held is NOBODY */
    uint64_t n, max;
};

static const uint32_t NOBODY = UINT32_MAX;

static void take_out(struct ring *r, uint32_t id)
{
    r->next[r->prev[id]] = r->next[id];
    r->prev[r->next[id]] = r->prev[id];
    r->next[id] = NOBODY;
}

static void put_first(struct ring *r, uint32_t id)
{
    r->prev[id] = r->sentinel;
    r->next[id] = r->next[r->sentinel];
    r->prev[r->next[id]] = id;
    r->next[r->sentinel] = id;
}

/* True: it was there. It is now. */
static bool use(struct ring *r, uint32_t id)
{
    bool hit = r->next[id] != NOBODY;
    if (hit)
        take_out(r, id);
    else if (r->n == r->max)
        take_out(r, r->prev[r->sentinel]);
    else
        r->n++;
    put_first(r, id);
    return hit;
}

static uint64_t pass(struct ring *r, const struct tt_sequence *s, unsigned n_threads)
{
    uint64_t hits = 0;
    for (size_t i = 0; i < s->n; i++)
        for (unsigned t = 0; t < n_threads; t++)
            hits += use(r, s->ids[t][i]);
    return hits;
}

double tt_exact_lru_hits(const struct tt_sequence *s, unsigned n_threads, uint64_t n_entries)
{
    struct ring r = {.sentinel = s->n_keys, .max = n_entries > 0 ? n_entries : 1};
    size_t bytes = ((size_t)s->n_keys + 1) * sizeof *r.next;
    r.next = malloc(bytes);
    r.prev = malloc(bytes);
    if (r.next == NULL || r.prev == NULL)
        tt_bench_die("out of memory");
    memset(r.next, 0xff, bytes);
    r.next[r.sentinel] = r.prev[r.sentinel] = r.sentinel;
    pass(&r, s, n_threads);
    uint64_t hits = pass(&r, s, n_threads);
    free(r.next);
    free(r.prev);
    return (double)hits / ((double)s->n * n_threads);
}
