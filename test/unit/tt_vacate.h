/* A stripe that was filled and thinned out, and what must be true of it when pages or chunks were vacated: for the
 * tests of tier/l1/stripe_move.c. */
#ifndef TT_VACATE_H
#define TT_VACATE_H

#include "unit/tt_stripe.h"

extern const char *const tt_vacate_policies[6]; /* all that can rename their entries */

typedef uint64_t tt_vacate_fn(struct tc_stripe *s, struct tc_dropped *dropped);

void tt_vacate_open(struct tt_stripe *f, const char *policy);
void tt_vacate_put(struct tt_stripe *f, uint64_t number, size_t type, size_t len, int64_t ttl_ms);
bool tt_vacate_check(struct tt_stripe *f); /* accounts agree with what is there */

/* Vacates until nothing is to be had, reaping after each time or only in the end. Returns the number of times. */
size_t tt_vacate(struct tt_stripe *f, tt_vacate_fn *one, bool reaps);

/* The entry is there as it was put, with L1's reference alone; or it is not. */
void tt_vacate_assert_found(struct tt_stripe *f, uint64_t number, bool there, size_t len);

/* One of so many stays, the others of the first entries go. */
bool tt_vacate_stays(uint64_t number, uint64_t one_of);
void tt_vacate_thin_out(struct tt_stripe *f, uint64_t entries, uint64_t one_of);

/* Fills a stripe with entries of that length, hits them, thins them out, and evicts what is left with others coming
 * meanwhile: once as it is, once vacating all the while. Ends the test if it is not the same ones that leave, in the
 * same order. */
#define TT_VACATE_ENTRIES_MOST 2000
struct tt_vacate_load {
    tt_vacate_fn *one;
    uint64_t entries, one_of;
    size_t len;
};
void tt_vacate_assert_order(const struct tt_vacate_load *load, const char *policy, uint64_t seed);

#endif
