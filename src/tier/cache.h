/* struct cache: one cache and the parts it is made of. The parts know their own headers; this is where they meet.
 *
 * Lock order (docs/threading.md): flight bucket -> stripe; types -> a new type's update_lock. Every other lock is a
 * leaf: limbo, records of readers, recovery, worker, report, flight graph, and those of the Redis backend. No lock is
 * held while a callback of the application or a backend slot runs, except the allocator, the clock and the eviction
 * policy. */
#ifndef TC_TIER_CACHE_H
#define TC_TIER_CACHE_H

#include "base/hash.h"
#include "base/hooks.h"
#include "policy/key.h"
#include "policy/type.h"
#include "tier/flight.h"
#include "tier/l1/l1.h"
#include "tier/l2.h"
#include "tier/recovery.h"
#include "tier/worker.h"

struct tc_types {
    struct tc_lock lock;       /* serialises registration */
    struct cache_type *first;  /* newest first; a type is never taken out before the cache is closed */
    _Atomic uint32_t count;
    struct cache_type *by_id[TC_TYPES_MAX];
};

struct cache {
    uint64_t magic;
    uint64_t id; /* random: names the cache in tickets */
    char *name;
    struct tc_alloc alloc;
    struct tc_clock clock;
    struct tc_key_encoder encoder;
    struct tc_notices notices;
    struct cache_stats_sink_ops sink; /* stat NULL: none */
    void *sink_ctx;
    struct tc_hash hash;
    struct tc_fork_guard fork;
    const volatile uint64_t *readers_here; /* the id of l1.readers; 0 in a child: one question instead of two */
    int64_t timeout_ms, l2_timeout_ms, connect_timeout_ms;
    uint64_t max_value_bytes;
    struct tc_policy_defaults defaults;

    struct tc_l1 l1;
    struct tc_l2 l2;
    struct tc_recovery recovery;
    struct tc_flights flights;
    struct tc_worker worker;
    struct tc_types types;

    bool recovery_ready, types_ready; /* their locks are made */
    _Atomic bool closing;
    atomic_flag resizing; /* a thread is inside cache_resize() */
    atomic_flag closer; /* a thread is inside cache_close() */
};

#define TC_CACHE_MAGIC UINT64_C(0x7463636163686531)

/* Every exported verb runs between these two. Returns CACHE_OK, or CACHE_E_INVALID, CACHE_E_FORKED, CACHE_E_CLOSED
 * (then leave is not called). */
int tc_cache_enter(struct cache *c);
void tc_cache_leave(struct cache *c);
/* The same, and *me is the calling thread's record (NULL: it got none). */
int tc_cache_enter_as(struct cache *c, struct tc_reader **me);
void tc_cache_leave_as(struct cache *c, struct tc_reader *me);

/* The same with a key, which must be of this cache; *ref names it in L1. */
struct tc_target {
    struct cache_type *type;
    struct tc_l1_ref ref;
};
int tc_cache_enter_key(struct cache *c, const struct cache_key *k, struct tc_target *t);
int tc_cache_enter_key_as(struct cache *c, const struct cache_key *k, struct tc_target *t, struct tc_reader **me);
int tc_cache_target(struct cache *c, const struct cache_key *k, struct tc_target *t); /* inside a call */

/* The same, inline, for a call that the short ways serve (tier/hit.h, tier/set.h): a good key, which is short, of a
 * cache by the system's clock, of a type that asks for nothing special. A type is plain for its own cache alone: so c
 * is one. Whether it is this process's is asked with readers_here. */
static inline __attribute__((always_inline)) bool tc_cache_is_plain_call(const struct cache *c, const struct tc_key *k)
{
    /* A status other than CACHE_OK is negative, so it makes any length too large. */
    return tc_key_is_valid(k) && ((k->len - 1) | (uint32_t)k->status) < TC_KEY_SHORT_MOST &&
           tc_type_is_plain_for(k->type, c);
}

/* Absolute deadline of a call with that timeout_ms (0 = the cache's default; negative is refused by the api layer). */
int64_t tc_cache_deadline(struct cache *c, int64_t timeout_ms);

static inline void tc_cache_count(struct cache_type *t, enum tc_counter which)
{
    tc_stats_add(&t->stats, which, 1);
}

/* A hit in L1: where the calling thread counts alone, as far as there is room for that. */
static inline void tc_cache_count_hit(struct tc_reader *me, struct cache_type *t)
{
    if (__builtin_expect(me != NULL && t->id < TC_READER_COUNTS, 1))
        tc_reader_count(&me->counts[t->id], 1);
    else
        tc_cache_count(t, TC_COUNT_l1_hits);
}

/* True if entries of that type go to L2. */
static inline bool tc_cache_uses_l2(const struct cache *c, const struct cache_type *t)
{
    return c->l2.present && !(tc_type_flags(t) & CACHE_TYPE_NO_L2);
}

#endif
