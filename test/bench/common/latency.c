/* Quantiles of a histogram of ticks. How long a tick is, is measured over the whole life of the program. */
#include "latency.h"

#include "cores.h"

static struct {
    uint64_t ticks;
    int64_t ns;
} begin;

void tt_latency_init(void)
{
    begin.ns = tt_wall_ns();
    begin.ticks = tt_ticks_begin();
}

static double ns_per_tick(void)
{
    uint64_t ticks = tt_ticks_begin() - begin.ticks;
    return ticks > 0 ? (double)(tt_wall_ns() - begin.ns) / (double)ticks : 1;
}

void tt_latency_merge(struct tt_latency *into, const struct tt_latency *from)
{
    into->n += from->n;
    for (unsigned i = 0; i < TT_LATENCY_BUCKETS; i++)
        into->count[i] += from->count[i];
}

/* The middle of a bucket, in ticks. */
static double middle_of(unsigned i)
{
    unsigned power = i >> TT_LATENCY_SUB_BITS;
    unsigned step = i & ((1u << TT_LATENCY_SUB_BITS) - 1);
    if (power == 0)
        return step;
    return ((1u << TT_LATENCY_SUB_BITS) + step + 0.5) * (double)(UINT64_C(1) << (power - 1));
}

double tt_latency_ns(const struct tt_latency *l, double q)
{
    double left = q * (double)l->n;
    if (l->n == 0)
        return 0;
    for (unsigned i = 0; i < TT_LATENCY_BUCKETS; i++) {
        left -= l->count[i];
        if (left <= 0 && l->count[i] > 0)
            return middle_of(i) * ns_per_tick();
    }
    return 0;
}
