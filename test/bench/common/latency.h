/* How long single operations take: ticks of the processor's counter, kept in a log-linear histogram.
 *
 * One operation in 64 is timed, so the timing costs the loop next to nothing; what it adds to the operation that is
 * timed (some 20 ns) is not taken off. */
#ifndef TT_BENCH_LATENCY_H
#define TT_BENCH_LATENCY_H

#include <stdint.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#else
#include <time.h>
#endif

enum {
    TT_LATENCY_SUB_BITS = 5, /* 32 steps to a power of two: a quantile is at most 3 % off */
    TT_LATENCY_BUCKETS = 37 << TT_LATENCY_SUB_BITS
};

struct tt_latency {
    uint64_t n;
    uint32_t count[TT_LATENCY_BUCKETS];
};

#if defined(__x86_64__)
/* The fence keeps the operations before out of the measured one, rdtscp waits for the measured one to end. */
static inline uint64_t tt_ticks_begin(void)
{
    _mm_lfence();
    return __rdtsc();
}

static inline uint64_t tt_ticks_end(void)
{
    unsigned aux;
    return __rdtscp(&aux);
}
#else
static inline uint64_t tt_ticks_begin(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline uint64_t tt_ticks_end(void)
{
    return tt_ticks_begin();
}
#endif

static inline void tt_latency_add(struct tt_latency *l, uint64_t ticks)
{
    unsigned i = (unsigned)ticks;
    if (ticks >> TT_LATENCY_SUB_BITS != 0) {
        unsigned e = 63 - (unsigned)__builtin_clzll(ticks);
        unsigned step = (unsigned)(ticks >> (e - TT_LATENCY_SUB_BITS)) & ((1u << TT_LATENCY_SUB_BITS) - 1);
        i = (e - TT_LATENCY_SUB_BITS + 1) << TT_LATENCY_SUB_BITS | step;
    }
    l->count[i < TT_LATENCY_BUCKETS ? i : TT_LATENCY_BUCKETS - 1]++;
    l->n++;
}

/* Notes the time, so that later a tick's length is known. Call it when the program begins. */
void tt_latency_init(void);

void tt_latency_merge(struct tt_latency *into, const struct tt_latency *from);

/* The time that the share q of all operations did not exceed; 0 without samples. */
double tt_latency_ns(const struct tt_latency *l, double q);

#endif
