/* What every subject of a benchmark is asked to do: the keys, the values and the order of the operations. */
#ifndef TT_BENCH_WORKLOAD_H
#define TT_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TT_BENCH_VALUE_BYTES 64
#define TT_BENCH_KEY_TYPE "user" /* the keys read user:0000..., 16 to 24 bytes */

struct tt_bench_key {
    uint8_t len;
    char text[31]; /* NUL-terminated */
};

/* The key of id: the same bytes that tiercache makes of a type named TT_BENCH_KEY_TYPE and the part tt_bench_key_part(k). */
void tt_bench_key_write(struct tt_bench_key *k, uint32_t id);
const char *tt_bench_key_part(const struct tt_bench_key *k);

/* The value of id. Its first four bytes are the id, which is what the timed loops compare. */
void tt_bench_value_fill(unsigned char out[TT_BENCH_VALUE_BYTES], uint32_t id);
bool tt_bench_value_is_of(const void *data, size_t len, uint32_t id); /* all bytes */
bool tt_bench_value_begins_with(const void *data, uint32_t id);       /* the first four */

/* n ids below n_keys, drawn by a Zipf law of exponent theta (0: uniform); the popular ids lie scattered.
 * The same seed gives the same sequence. NULL when out of memory; free() it. */
uint32_t *tt_bench_sequence_make(size_t n, uint32_t n_keys, double theta, uint64_t seed);

#endif
