/* latency.c - see latency.h. */
#include "latency.h"

#include <time.h>

static unsigned bucket_of(uint64_t ns)
{
    if (ns < 8)
        return (unsigned)ns;
    unsigned top = 63u - (unsigned)__builtin_clzll(ns);
    unsigned i = (top - 2) * 8 + (unsigned)((ns >> (top - 3)) & 7);
    return i < LATENCY_BUCKETS ? i : LATENCY_BUCKETS - 1;
}

static int64_t upper_bound(unsigned i)
{
    if (i < 8)
        return i;
    unsigned top = i / 8 + 2;
    return ((INT64_C(9) + i % 8) << (top - 3)) - 1;
}

void latency_add(struct latency *l, int64_t ns)
{
    atomic_fetch_add_explicit(&l->bucket[bucket_of(ns > 0 ? (uint64_t)ns : 0)], 1, memory_order_relaxed);
}

void latency_sum(struct latency *into, const struct latency *from)
{
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        uint64_t n = atomic_load_explicit(&from->bucket[i], memory_order_relaxed);
        atomic_fetch_add_explicit(&into->bucket[i], n, memory_order_relaxed);
    }
}

uint64_t latency_count(const struct latency *l)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        n += atomic_load_explicit(&l->bucket[i], memory_order_relaxed);
    return n;
}

int64_t latency_quantile(const struct latency *l, double q)
{
    uint64_t total = latency_count(l), seen = 0;
    uint64_t rank = (uint64_t)(q * (double)total);
    for (unsigned i = 0; i < LATENCY_BUCKETS && total > 0; i++) {
        seen += atomic_load_explicit(&l->bucket[i], memory_order_relaxed);
        if (seen > rank || seen == total)
            return upper_bound(i);
    }
    return 0;
}

int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
