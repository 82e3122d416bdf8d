/* Many keys at once; the single verbs of cache_set() come through here too. */
#ifndef TC_TIER_BATCH_H
#define TC_TIER_BATCH_H

#include "tier/verbs.h"

struct tc_batch_get {
    struct tc_target target;
    struct tc_outcome out;
    size_t at; /* the caller's */
};

/* Returns CACHE_OK, or CACHE_E_NOMEM: nothing was looked up. */
int tc_batch_read(struct cache *c, struct tc_batch_get *items, size_t n, uint32_t flags, int64_t deadline_ms);

/* Stores n values as tc_write_prepare() left them: as fills where there is a ticket, else as authoritative. ticket is
 * the explicit one (n is 1 then) or NULL. Results in each status; of a value that could not be prepared, why not.
 * Reorders in; scratch has room for n pointers. */
void tc_batch_write(struct cache *c, struct tc_value_in **in, size_t n, const struct cache_ticket *ticket,
                    int64_t deadline_ms, struct tc_value_in **scratch);

#endif
