/* Counters and latency histograms of one type of entry. Counters are spread over shards by thread, each on cache lines
 * of its own, so that counting shares nothing between threads as a rule; reading adds the shards up. */
#ifndef TC_BASE_STATS_H
#define TC_BASE_STATS_H

#include <stdatomic.h>

#include "platform/platform.h"
#include "tiercache.h"

enum tc_counter {
#define TC_COUNTER_ENUM(name, kind, unit, help) TC_COUNT_##name,
    CACHE_STATS_TYPE_COUNTERS(TC_COUNTER_ENUM)
#undef TC_COUNTER_ENUM
        TC_COUNTERS
};

enum tc_latency { TC_LATENCY_l1_hit, TC_LATENCY_l2_get, TC_LATENCY_load, TC_LATENCIES };

/* Log-linear: 8 equal steps in each power of two, up to 2^40 ns (18 minutes). */
#define TC_HISTOGRAM_STEPS 8
#define TC_HISTOGRAM_BUCKETS (38 * TC_HISTOGRAM_STEPS)

struct tc_histogram {
    _Atomic uint64_t buckets[TC_HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum_ns;
    _Atomic uint64_t max_ns;
};

#define TC_STATS_SHARDS 8

struct tc_stats_shard {
    _Alignas(TC_CACHELINE) _Atomic uint64_t counters[TC_COUNTERS];
};

struct tc_stats {
    struct tc_stats_shard shards[TC_STATS_SHARDS];
    struct tc_histogram latencies[TC_LATENCIES];
};

static inline void tc_stats_add(struct tc_stats *s, enum tc_counter which, uint64_t n)
{
    struct tc_stats_shard *shard = &s->shards[tc_thread_slot() % TC_STATS_SHARDS];
    atomic_fetch_add_explicit(&shard->counters[which], n, memory_order_relaxed);
}

void tc_histogram_record(struct tc_histogram *h, int64_t ns);
size_t tc_histogram_bucket(uint64_t ns);            /* where ns is counted */
uint64_t tc_histogram_upper_ns(size_t bucket);      /* the largest ns counted there */

/* Adds s to out: counters summed; latencies are left to tc_stats_latencies. */
void tc_stats_sum(const struct tc_stats *s, struct cache_stats *out);
/* Fills the latency fields of out from n sets of histograms together. */
void tc_stats_latencies(const struct tc_stats *const *sets, size_t n, struct cache_stats *out);
/* Calls row for every field of s, in table order. */
typedef void tc_stats_row_fn(void *ctx, const char *name, int kind, const char *unit, const char *help, uint64_t value);
void tc_stats_each(const struct cache_stats *s, tc_stats_row_fn *row, void *ctx);

#endif
