/* Summing counters, and quantiles of the log-linear histograms.
 *
 * Bucket of a value: the position of its highest bit gives the power of two, the three bits below it the step, so a
 * bucket is at most an eighth wider than its lower edge. Values below 8 have buckets of their own. */
#include "base/stats.h"

#include "tiercache/hooks.h"

size_t tc_histogram_bucket(uint64_t ns)
{
    if (ns < TC_HISTOGRAM_STEPS)
        return (size_t)ns;
    unsigned high = 63u - (unsigned)__builtin_clzll(ns);
    size_t bucket = (size_t)(high - 2) * TC_HISTOGRAM_STEPS + (size_t)(ns >> (high - 3) & 7);
    return bucket < TC_HISTOGRAM_BUCKETS ? bucket : TC_HISTOGRAM_BUCKETS - 1;
}

uint64_t tc_histogram_upper_ns(size_t bucket)
{
    if (bucket < TC_HISTOGRAM_STEPS)
        return bucket;
    unsigned high = (unsigned)(bucket / TC_HISTOGRAM_STEPS) + 2;
    uint64_t step = bucket % TC_HISTOGRAM_STEPS;
    return ((8 + step + 1) << (high - 3)) - 1;
}

void tc_histogram_record(struct tc_histogram *h, int64_t ns)
{
    uint64_t v = ns > 0 ? (uint64_t)ns : 0;
    atomic_fetch_add_explicit(&h->buckets[tc_histogram_bucket(v)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_ns, v, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&h->max_ns, memory_order_relaxed);
    while (v > max && !atomic_compare_exchange_weak_explicit(&h->max_ns, &max, v, memory_order_relaxed,
                                                             memory_order_relaxed))
        ;
}

void tc_stats_sum(const struct tc_stats *s, struct cache_stats *out)
{
    uint64_t sums[TC_COUNTERS] = { 0 };
    for (size_t i = 0; i < TC_STATS_SHARDS; i++)
        for (size_t k = 0; k < TC_COUNTERS; k++)
            sums[k] += atomic_load_explicit(&s->shards[i].counters[k], memory_order_relaxed);
#define ADD_FIELD(name, kind, unit, help) out->name += sums[TC_COUNT_##name];
    CACHE_STATS_TYPE_COUNTERS(ADD_FIELD)
#undef ADD_FIELD
}

struct summary {
    uint64_t count, p50_ns, p90_ns, p99_ns, p999_ns, max_ns, sum_ns;
};

/* Smallest upper edge below which at least permille of the counted values lie, cut to the true maximum. */
static uint64_t quantile(const uint64_t *buckets, uint64_t count, uint64_t permille, uint64_t max_ns)
{
    uint64_t want = (count * permille + 999) / 1000, seen = 0;
    for (size_t b = 0; b < TC_HISTOGRAM_BUCKETS; b++) {
        seen += buckets[b];
        if (seen >= want) {
            uint64_t upper = tc_histogram_upper_ns(b);
            return b + 1 < TC_HISTOGRAM_BUCKETS && upper < max_ns ? upper : max_ns;
        }
    }
    return max_ns;
}

static struct summary summarise(const struct tc_stats *const *sets, size_t n, enum tc_latency which)
{
    struct summary s = { 0 };
    uint64_t buckets[TC_HISTOGRAM_BUCKETS] = { 0 };
    for (size_t i = 0; i < n; i++) {
        const struct tc_histogram *h = &sets[i]->latencies[which];
        for (size_t b = 0; b < TC_HISTOGRAM_BUCKETS; b++) {
            uint64_t v = atomic_load_explicit(&h->buckets[b], memory_order_relaxed);
            buckets[b] += v;
            s.count += v;
        }
        s.sum_ns += atomic_load_explicit(&h->sum_ns, memory_order_relaxed);
        uint64_t max_ns = atomic_load_explicit(&h->max_ns, memory_order_relaxed);
        s.max_ns = max_ns > s.max_ns ? max_ns : s.max_ns;
    }
    if (s.count > 0) {
        s.p50_ns = quantile(buckets, s.count, 500, s.max_ns);
        s.p90_ns = quantile(buckets, s.count, 900, s.max_ns);
        s.p99_ns = quantile(buckets, s.count, 990, s.max_ns);
        s.p999_ns = quantile(buckets, s.count, 999, s.max_ns);
    }
    return s;
}

void tc_stats_latencies(const struct tc_stats *const *sets, size_t n, struct cache_stats *out)
{
    struct summary s;
#define FILL_LATENCY(name)                                                                                           \
    s = summarise(sets, n, TC_LATENCY_##name);                                                                       \
    out->name##_count = s.count;                                                                                     \
    out->name##_p50_ns = s.p50_ns;                                                                                   \
    out->name##_p90_ns = s.p90_ns;                                                                                   \
    out->name##_p99_ns = s.p99_ns;                                                                                   \
    out->name##_p999_ns = s.p999_ns;                                                                                 \
    out->name##_max_ns = s.max_ns;                                                                                   \
    out->name##_sum_ns = s.sum_ns
    FILL_LATENCY(l1_hit);
    FILL_LATENCY(l2_get);
    FILL_LATENCY(load);
#undef FILL_LATENCY
}

#define KIND_COUNTER CACHE_STAT_COUNTER
#define KIND_GAUGE CACHE_STAT_GAUGE

void tc_stats_each(const struct cache_stats *s, tc_stats_row_fn *row, void *ctx)
{
#define GIVE_ROW(name, kind, unit, help) row(ctx, #name, KIND_##kind, unit, help, s->name);
    CACHE_STATS_TABLE(GIVE_ROW)
#undef GIVE_ROW
}
