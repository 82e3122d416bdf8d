/* traffic.h - which package is asked for next: uniform, or Zipf over a shuffled order of popularity. */
#ifndef DEMO_TRAFFIC_H
#define DEMO_TRAFFIC_H

#include <stdint.h>

struct rng {
    uint64_t state;
};

enum skew { SKEW_UNIFORM, SKEW_ZIPF_080, SKEW_ZIPF_099, SKEWS };

struct traffic {
    uint32_t n;
    uint32_t *rank_to_item;      /* which item is the most asked for, the second ... */
    double *cumulative[SKEWS];   /* of the ranks; NULL for uniform */
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
double rng_unit(struct rng *r); /* [0, 1) */

int traffic_init(struct traffic *t, uint32_t n, uint64_t seed); /* 0 or -1; fini in both cases */
void traffic_fini(struct traffic *t);
uint32_t traffic_draw(const struct traffic *t, enum skew skew, struct rng *r);

/* The time to the next request of a Poisson stream of so many per second. */
int64_t traffic_gap_ns(struct rng *r, double per_second);

#endif
