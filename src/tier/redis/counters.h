/* What the Redis backend counts. All relaxed: they are statistics, no decision rests on them. */
#ifndef TC_TIER_REDIS_COUNTERS_H
#define TC_TIER_REDIS_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/* Names of fields of struct cache_backend_stats. */
#define TC_REDIS_COUNTERS(X)                                                                                         \
    X(round_trips) X(commands) X(bytes_sent) X(bytes_received) X(connects) X(reconnects)                             \
    X(err_connect) X(err_timeout) X(err_closed) X(err_protocol) X(err_auth) X(err_oom) X(err_loading)                \
    X(err_readonly) X(err_misconf) X(err_busy) X(err_wrongtype) X(err_redirect) X(err_other)

enum tc_redis_counter {
#define TC_REDIS_COUNTER_ENUM(name) TC_REDIS_##name,
    TC_REDIS_COUNTERS(TC_REDIS_COUNTER_ENUM)
#undef TC_REDIS_COUNTER_ENUM
    TC_REDIS_N_COUNTERS
};

struct tc_redis_counters {
    _Atomic uint64_t count[TC_REDIS_N_COUNTERS];
};

static inline void tc_redis_count(struct tc_redis_counters *c, enum tc_redis_counter which, uint64_t n)
{
    atomic_fetch_add_explicit(&c->count[which], n, memory_order_relaxed);
}

#endif
