/* sizing.h - how large the tiers are to be: 5 % and 30 % of the bytes of all rendered pages. */
#ifndef DEMO_SIZING_H
#define DEMO_SIZING_H

#include "server.h"
#include "shared.h"
#include "tiercache.h"

enum { L1_PERCENT = 5, L2_PERCENT = 30 };

struct sizing {
    uint64_t pages_bytes;  /* of all pages, from every eighth */
    uint64_t l1_bytes;     /* limit of each worker's L1, its overhead included */
    uint64_t l2_bytes;     /* page bytes that L2 is to hold */
    double redis_factor;   /* memory that Redis takes for a byte of page */
    uint64_t maxmemory;
};

/* Renders every eighth page. Leaves no connection open, so that the workers can be forked after it. 0 or -1. */
int sizing_measure(struct sizing *z, const struct demo *d);

/* Finds Redis's overhead with real entries, empties it again and sets maxmemory. Before the workers start. 0 or -1. */
int sizing_limit_l2(struct sizing *z, const struct demo *d, const struct server *server, struct cache *cache,
                    const struct cache_type *page);

#endif
