/* changes.h - the parent's part: changes packages in the database and invalidates their pages. */
#ifndef DEMO_CHANGES_H
#define DEMO_CHANGES_H

#include "shared.h"
#include "tiercache.h"

struct sqlite3;
struct sqlite3_stmt;

struct changes {
    const struct demo *d;
    struct cache *cache;
    struct cache_type *page;
    struct sqlite3 *db;
    struct sqlite3_stmt *update;
    struct rng rng;
    int64_t next_ns;        /* when the next change is due */
    uint32_t first_open;    /* changes before it are through */
    uint8_t step[MAX_CHANGES];
    int64_t due_ns[MAX_CHANGES]; /* of the second invalidation */
    uint32_t through;       /* acknowledged twice */
    uint32_t queued;        /* invalidations that L2 did not acknowledge at once */
    uint32_t lost;          /* invalidations that the library could not keep: must be 0 */
    int64_t drained_ns;     /* when the last queued invalidation was seen acknowledged */
};

int changes_open(struct changes *ch, const struct demo *d, struct cache *cache, struct cache_type *page);
void changes_close(struct changes *ch); /* not the cache */

/* Does what is due: per_second new changes on average (0 = none), second invalidations, looking after queued ones.
 * Returns 0, or -1 if the database refused. Blocks for L2_TIMEOUT_MS a change at most. */
int changes_tick(struct changes *ch, double per_second);

/* How many changes still wait for an acknowledgement. */
uint32_t changes_open_count(const struct changes *ch);

#endif
