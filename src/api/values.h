/* Handing values and their meta data to callers. */
#ifndef TC_API_VALUES_H
#define TC_API_VALUES_H

#include "tier/verbs.h"

/* Fills v from an outcome, whose pin passes to it with CACHE_OK and is released otherwise. Returns the status. */
int tc_values_give(struct cache *c, struct tc_outcome *out, struct cache_value *v);
void tc_values_meta(int64_t now_ms, const struct tc_l1_copied *e, uint32_t tier, uint32_t flags, struct cache_meta *m);

/* A fresh hit of L1 that is pinned. */
void tc_values_give_hit(struct cache *c, struct tc_entry *e, int64_t now_ms, struct cache_value *v);

#endif
