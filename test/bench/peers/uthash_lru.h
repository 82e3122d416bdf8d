/* The cache that people write by hand: a uthash table, a doubly linked list in order of use, one mutex.
 * With n_shards > 1 the same, n_shards times, chosen by the key's hash. */
#ifndef TT_BENCH_UTHASH_LRU_H
#define TT_BENCH_UTHASH_LRU_H

#include <stdbool.h>
#include <stddef.h>

struct tt_uthash_lru;

/* max_bytes: keys, values and the nodes themselves. NULL when out of memory. */
struct tt_uthash_lru *tt_uthash_lru_open(unsigned n_shards, size_t max_bytes);
void tt_uthash_lru_close(struct tt_uthash_lru *u);

/* Copies the value out; false: not there, or longer than cap. */
bool tt_uthash_lru_get(struct tt_uthash_lru *u, const char *key, size_t key_len, void *buf, size_t cap, size_t *len);

/* Copies key and value in, evicting the least recently used as needed; false when out of memory. */
bool tt_uthash_lru_set(struct tt_uthash_lru *u, const char *key, size_t key_len, const void *value, size_t len);

#endif
