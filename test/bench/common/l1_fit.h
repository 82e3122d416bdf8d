/* How many bytes of L1 hold a given number of entries: found by trying, since it is the library's own affair. */
#ifndef TT_BENCH_L1_FIT_H
#define TT_BENCH_L1_FIT_H

#include <stddef.h>
#include <stdint.h>

struct cache;
struct cache_type;

/* Stores the values of all keys, in a scattered order. value_bytes: or TT_BENCH_ALL_SIZES. */
void tt_l1_fill(struct cache *c, struct cache_type *t, uint32_t n_keys, size_t value_bytes);

/* The limit under which a full cache holds n_wanted entries, to one in a hundred. */
uint64_t tt_l1_fit(uint32_t n_wanted, size_t value_bytes);

#endif
