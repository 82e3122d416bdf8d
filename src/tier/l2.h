/* L2 as the cache sees it: a backend table, completed, and frames in front of it. */
#ifndef TC_TIER_L2_H
#define TC_TIER_L2_H

#include <stdatomic.h>

#include "tier/l1/l1.h"
#include "tiercache/backend.h"

struct cache;
struct tc_target;

struct tc_l2 {
    bool present;
    struct cache_backend_ops ops; /* no slot is NULL except attach */
    void *ctx;
    struct cache_backend_host host;
    bool report_ready;          /* report_lock is made */
    struct tc_lock report_lock; /* of the two below */
    int last_status;            /* why the backend is not usable, as it said last */
    char last_text[160];
};

/* Checks and completes a table. CACHE_OK, CACHE_E_ABI. */
int tc_l2_complete(const struct cache_backend_ops *ops, struct cache_backend_ops *out);

/* What a read needs to know and what it found. */
struct tc_l2_read {
    const struct tc_target *target;
    int status;            /* CACHE_OK, CACHE_MISS, or why L2 could not say */
    struct tc_entry *entry; /* with CACHE_OK: one reference, lifetimes set; not in L1 */
    bool keep_in_l1;        /* false: the type says no, or how long it may live is unknown */
};

int tc_l2_health(struct cache *c);  /* CACHE_BACKEND_*, 0 without L2 */
bool tc_l2_usable(struct cache *c); /* up, no invalidation waits to be replayed or is about to */

/* Reads n > 0 keys in one round trip. Counts hits, misses and failures. */
void tc_l2_read_many(struct cache *c, struct tc_l2_read *reads, size_t n, int64_t deadline_ms);
void tc_l2_read_one(struct cache *c, struct tc_l2_read *read, int64_t deadline_ms);

struct tc_l2_write {
    const struct tc_target *target;
    struct tc_entry *entry;
    int64_t ttl_ms;
    int status; /* out: CACHE_OK, or as the backend said; CACHE_E_UNKNOWN for anything it must not say */
    void *frame; /* while it is sent */
    size_t frame_len;
};

/* Sends n values; n deletions (statuses in the items). Counts. */
void tc_l2_write_many(struct cache *c, struct tc_l2_write *writes, size_t n, int64_t deadline_ms);
void tc_l2_write_one(struct cache *c, struct tc_l2_write *write, int64_t deadline_ms);
void tc_l2_delete_many(struct cache *c, struct cache_backend_item *items, size_t n, int64_t deadline_ms);

/* The part of a call's time that one step in L2 may take: the cache's l2_timeout_ms, and with leave_half no more than
 * half of what is left, so that a loader still gets its turn. */
int64_t tc_l2_deadline(struct cache *c, int64_t call_deadline_ms, bool leave_half);

#endif
