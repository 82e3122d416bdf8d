/* The only stripe of an L1 under test, locked by the test all the while, with all memory granted to it. One thread:
 * what left its table can be reaped at once. */
#ifndef TT_STRIPE_H
#define TT_STRIPE_H

#include "unit/tt_l1.h"

#define TT_STRIPE_LIMIT (UINT64_C(2) << 20)

struct tt_stripe {
    struct tt_l1 *r;
    struct tc_stripe *s;
    struct tc_dropped dropped;
};

/* f is zeroed. evict NULL: LRU. paged: small entries lie in pages; else all lie apart, as in a stripe that is too small
 * for pages. */
void tt_stripe_open(struct tt_stripe *f, const struct cache_evict_ops *evict, bool paged);
/* The same with room for nodes of so many bytes: tt_l1_bring() may follow. */
void tt_stripe_open_with_room(struct tt_stripe *f, const struct cache_evict_ops *evict, size_t node_bytes, bool paged);
bool tt_stripe_close(struct tt_stripe *f); /* as tt_l1_free */

void tt_stripe_give_up(struct tt_stripe *f); /* as every caller does it: without the lock */
size_t tt_stripe_reap(struct tt_stripe *f);  /* all that waits; then gives up. Returns how many */

/* Links a new entry of that number, made by p; L1's is the only reference. Ends the test if memory is not accounted as
 * it was announced, or if another entry would have to leave. */
uint32_t tt_stripe_link_with(struct tt_stripe *f, uint64_t number, const struct tt_l1_put *p, bool own_order);
uint32_t tt_stripe_link(struct tt_stripe *f, uint64_t number, size_t type, bool own_order, int64_t ttl_ms);

uint32_t tt_stripe_find(struct tt_stripe *f, uint64_t number); /* 0: it is not there */
struct tc_entry *tt_stripe_entry(struct tt_stripe *f, uint32_t cell);
uint64_t tt_stripe_number(struct tt_stripe *f, uint32_t cell); /* its key; its value is that key's, or the test ends */
void tt_stripe_touch(struct tt_stripe *f, uint32_t cell); /* a hit, as a look-up does it */
void *tt_stripe_node(struct tt_stripe *f, uint32_t cell); /* of the policy */
void tt_stripe_remove(struct tt_stripe *f, uint32_t cell);
void tt_stripe_release(struct tt_stripe *f, struct tc_entry *e); /* a pin, without the lock */

uint64_t tt_stripe_entries(struct tt_stripe *f, size_t type); /* counted for that type, all told */
uint64_t tt_stripe_type_bytes(struct tt_stripe *f, size_t type);

#endif
