/* Invalidations that L2 has not acknowledged: kept, coalesced by key, and sent before L2 is read again (COHERENCE R3,
 * R4). Bounded: past the bound, or out of memory, nothing is kept any more, but from then on everything that L2 held at
 * that moment is distrusted by this process: it counts as a miss. */
#ifndef TC_TIER_RECOVERY_H
#define TC_TIER_RECOVERY_H

#include <stdatomic.h>

#include "base/alloc.h"
#include "platform/platform.h"
#include "tiercache/backend.h"

struct cache;
struct tc_recovery_item;

struct tc_recovery {
    struct tc_lock lock;
    const struct tc_alloc *alloc;
    uint64_t max_keys, places; /* places: taken, of max_keys */
    struct tc_recovery_item *items; /* by key; oldest first */
    uint64_t next_sequence;
    _Atomic uint64_t pending;            /* number of items */
    _Atomic int64_t distrust_before_ms;  /* monotonic; INT64_MIN: nothing is distrusted */
    _Atomic uint64_t replayed, overflows;
    _Atomic bool hurry; /* the pause is over */
    /* the worker's */
    uint64_t told; /* overflows that the application was told of */
    uint64_t passed_over; /* items at the front that were refused; the next batch begins behind them */
    int64_t pause_ms, next_try_ms; /* between attempts that fail; 0: the last one did not */
};

int tc_recovery_init(struct tc_recovery *r, uint64_t max_keys, const struct tc_alloc *alloc); /* 0 or an errno */
void tc_recovery_fini(struct tc_recovery *r);

static inline uint64_t tc_recovery_pending(struct tc_recovery *r)
{
    return atomic_load_explicit(&r->pending, memory_order_acquire);
}

/* Keeps the invalidation of a key, whose hash is given, and wakes the worker. CACHE_QUEUED, or CACHE_E_UNKNOWN if it
 * could not be kept. */
int tc_recovery_add(struct cache *c, uint64_t hash, struct cache_slice key);

/* Tells the application of overflows. From the worker only: whoever adds may be at a gate, where no callback runs. */
void tc_recovery_tell(struct cache *c);

/* Sends what is kept, in batches, until nothing is left, L2 fails or the deadline passes; after a failure, not before a
 * pause is over, which grows from 100 ms to 2 s. From the worker only. Returns the milliseconds to the next attempt, -1
 * if nothing is left. */
int64_t tc_recovery_replay(struct cache *c, int64_t deadline_ms);
void tc_recovery_hurry(struct tc_recovery *r); /* the next attempt waits for no pause: L2 came back, or c closes */

/* True if what was written to L2 at that time may be older than an invalidation that could not be kept. */
bool tc_recovery_distrusts(struct tc_recovery *r, int64_t written_ms);

#endif
