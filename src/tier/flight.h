/* Flights: loads under way, so that callers who miss the same key share one (single flight, as in groupcache).
 *
 * A flight carries the generation that its key had before anything was read. Who comes later may join only while that
 * is still the key's generation: after an invalidation a newcomer starts a flight of its own, and the old one serves
 * those who had joined. A flight that takes longer than its type's load_timeout_ms holds its key no more. */
#ifndef TC_TIER_FLIGHT_H
#define TC_TIER_FLIGHT_H

#include <limits.h>

#include "tier/l1/l1.h"

struct cache;
struct tc_target;

#define TC_FLIGHT_BUCKETS 64

struct tc_flight {
    struct tc_flight *next; /* in its bucket, while it may be joined */
    uintptr_t frame;         /* where on its leader's stack it was entered */
    struct tc_flight *outer; /* the flight that the same thread led when it began this one */
    struct cache *cache;
    uint64_t cache_id;
    uint64_t hash;
    uint64_t generation;
    int64_t expires_ms; /* end of load_timeout_ms */
    uint32_t refs;      /* (bucket) leader and waiters */
    bool listed;        /* (bucket) */
    bool done;          /* (bucket) */
    int status;         /* (bucket) once done: CACHE_OK, CACHE_ABSENT or a failure */
    uint32_t tier;      /* (bucket) once done: CACHE_TIER_* */
    struct tc_entry *entry; /* (bucket) once done: a reference, or NULL */
    struct tc_flight *awaits; /* (graph lock) what the leader waits for, inside its loader */
    size_t key_len;
    unsigned char key[];
};

struct tc_flight_bucket {
    _Alignas(TC_CACHELINE) struct tc_lock lock;
    struct tc_cond done;
    struct tc_flight *first;
    bool ready;
};

struct tc_flights {
    struct tc_flight_bucket *buckets;
    struct tc_lock graph; /* of every flight's awaits */
    bool ready;
};

int tc_flights_init(struct tc_flights *f, const struct tc_alloc *alloc); /* CACHE_OK, CACHE_E_NOMEM, CACHE_E_SYSTEM */
void tc_flights_fini(struct tc_flights *f, const struct tc_alloc *alloc); /* nobody is in any flight */

enum tc_flight_role {
    TC_FLIGHT_LEAD, /* *flight is new; end it with tc_flight_end */
    TC_FLIGHT_JOIN, /* wait with tc_flight_wait */
    TC_FLIGHT_LOOP, /* this thread leads it already: its own loader asks for the same key */
    TC_FLIGHT_NOMEM
};

enum tc_flight_role tc_flight_enter(struct cache *c, const struct tc_target *t, int64_t load_timeout_ms,
                                    struct tc_flight **flight);

/* A load outside any flight, for want of memory or out of a circle: nobody can join it, but its loader may still ask
 * for its own key. begin: false if too many are nested. */
#define TC_FLIGHT_ALONE_MAX 8
bool tc_flight_alone_begin(struct cache *c, const struct tc_target *t);
void tc_flight_alone_end(void);

/* The status of a flight that failed when its leader's time was over: who waits may have the time that it lacked. */
#define TC_FLIGHT_FORSAKEN INT_MIN

/* Waits for the end of the flight, then leaves it. CACHE_E_TIMEOUT at the deadline; else the flight's status, with
 * a pin on *entry (CACHE_OK, CACHE_ABSENT). CACHE_E_DEADLOCK: waiting would never end, since the flight's leader waits,
 * through its loader, for one that this thread leads. */
int tc_flight_wait(struct cache *c, struct tc_flight *f, int64_t deadline_ms, struct tc_entry **entry, uint32_t *tier);

/* Ends a flight that this thread leads and wakes those who wait; entry (may be NULL) is not consumed. */
void tc_flight_end(struct cache *c, struct tc_flight *f, int status, struct tc_entry *entry, uint32_t tier);

#endif
