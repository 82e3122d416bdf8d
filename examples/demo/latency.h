/* latency.h - a histogram that many threads and processes add to: 8 steps to each power of two, so that a quantile is
 * at most 12.5 % too high. */
#ifndef DEMO_LATENCY_H
#define DEMO_LATENCY_H

#include <stdatomic.h>
#include <stdint.h>

enum { LATENCY_BUCKETS = 320 }; /* up to 2^40 ns */

struct latency {
    _Atomic uint64_t bucket[LATENCY_BUCKETS];
};

void latency_add(struct latency *l, int64_t ns);
void latency_sum(struct latency *into, const struct latency *from);
uint64_t latency_count(const struct latency *l);
int64_t latency_quantile(const struct latency *l, double q); /* ns; 0 if empty */

int64_t now_ns(void); /* CLOCK_MONOTONIC: one clock for all processes of this machine */

#endif
