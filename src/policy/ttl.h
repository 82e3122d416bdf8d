/* Lifetimes: from the type's policy, the caller's or loader's wish, the TTL table and jitter. Pure functions. */
#ifndef TC_POLICY_TTL_H
#define TC_POLICY_TTL_H

#include "policy/type.h"

/* What is to be stored and what was asked for it. */
struct tc_ttl_ask {
    struct cache_ttl_view view;
    int64_t wished_ms; /* the caller's or the loader's ttl_ms: 0, > 0, CACHE_TTL_NONE or CACHE_TTL_FOREVER */
};

/* The lifetimes in L2 and L1: > 0, CACHE_TTL_FOREVER, or CACHE_TTL_NONE (not stored there). ticks is the jitter's
 * random word. The TTL table, if there is one, is called with no lock held. */
struct cache_ttl tc_ttl_decide(const struct tc_policy *p, const struct tc_ttl_ask *ask, uint64_t ticks);

/* Next random word of a type's jitter. */
uint64_t tc_ttl_ticks(struct cache_type *t);

bool tc_ttl_is_valid(int64_t ttl_ms); /* as a caller's wish: 0, > 0, NONE, FOREVER */

/* The lesser of two lifetimes, each > 0 or CACHE_TTL_FOREVER. */
int64_t tc_ttl_min(int64_t a, int64_t b);

#endif
