/* How often keys were asked for lately, of many more keys than are cached: a count-min sketch of four-bit counters, all
 * halved each time that ten times as many uses were counted as there are entries, where what was counted before goes on
 * for half (Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", ACM Transactions on
 * Storage 2017). */
#ifndef TC_POLICY_SKETCH_H
#define TC_POLICY_SKETCH_H

#include <stddef.h>
#include <stdint.h>

#include "tiercache/hooks.h"

#define TC_SKETCH_MOST 15

struct tc_sketch {
    uint64_t *blocks;  /* NULL: no memory; then every count is 0. The blocks' ages lie behind them */
    uint32_t n_blocks; /* a power of two */
    uint32_t patience; /* calls of reserve that do not ask for memory, since it was refused */
    uint64_t entries;
    uint64_t counted; /* uses, halved with the counters */
    uint8_t age;      /* halvings; a block is brought up to it when it is used */
};

/* Sees to counters for that many entries. Without memory it goes on with those that it has. */
void tc_sketch_reserve(struct tc_sketch *k, const struct cache_evict_env *env, size_t entries);
void tc_sketch_fini(struct tc_sketch *k, const struct cache_evict_env *env);

void tc_sketch_add(struct tc_sketch *k, uint32_t tag, unsigned uses);
/* Never less than the key's own uses, as far as they are not halved away, up to TC_SKETCH_MOST; more where all of its
 * counters are shared with others. */
unsigned tc_sketch_count(const struct tc_sketch *k, uint32_t tag);

#endif
