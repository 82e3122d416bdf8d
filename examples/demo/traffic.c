/* traffic.c - see traffic.h. The tables are built once, before the workers fork, and only read afterwards. */
#include "traffic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64: small, fast, and every seed is a good one */
void rng_seed(struct rng *r, uint64_t seed)
{
    r->state = seed;
}

uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

double rng_unit(struct rng *r)
{
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}

static double *zipf(uint32_t n, double exponent)
{
    double *c = malloc(n * sizeof *c), sum = 0;
    for (uint32_t i = 0; c && i < n; i++)
        c[i] = sum += pow(i + 1.0, -exponent);
    for (uint32_t i = 0; c && i < n; i++)
        c[i] /= sum;
    return c;
}

int traffic_init(struct traffic *t, uint32_t n, uint64_t seed)
{
    struct rng r;
    memset(t, 0, sizeof *t);
    t->n = n;
    t->rank_to_item = malloc(n * sizeof *t->rank_to_item);
    t->cumulative[SKEW_ZIPF_080] = zipf(n, 0.80);
    t->cumulative[SKEW_ZIPF_099] = zipf(n, 0.99);
    if (!t->rank_to_item || !t->cumulative[SKEW_ZIPF_080] || !t->cumulative[SKEW_ZIPF_099])
        return -1;
    rng_seed(&r, seed);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = (uint32_t)(rng_next(&r) % (i + 1));
        t->rank_to_item[i] = t->rank_to_item[j];
        t->rank_to_item[j] = i;
    }
    return 0;
}

void traffic_fini(struct traffic *t)
{
    free(t->rank_to_item);
    for (int i = 0; i < SKEWS; i++)
        free(t->cumulative[i]);
    memset(t, 0, sizeof *t);
}

uint32_t traffic_draw(const struct traffic *t, enum skew skew, struct rng *r)
{
    const double *c = t->cumulative[skew];
    if (!c)
        return (uint32_t)(rng_next(r) % t->n);
    double u = rng_unit(r);
    uint32_t low = 0, high = t->n - 1;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (c[mid] > u)
            high = mid;
        else
            low = mid + 1;
    }
    return t->rank_to_item[low];
}

int64_t traffic_gap_ns(struct rng *r, double per_second)
{
    return (int64_t)(-log(1.0 - rng_unit(r)) / per_second * 1e9);
}
