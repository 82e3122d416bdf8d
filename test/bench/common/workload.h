/* What every subject of a benchmark is asked to do: the keys, the values and the order of the operations. */
#ifndef TT_BENCH_WORKLOAD_H
#define TT_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TT_BENCH_VALUE_BYTES 64
#define TT_BENCH_VALUE_MAX 1024
#define TT_BENCH_KEY_TYPE "user" /* the keys read user:0000..., 16 to 24 bytes */

struct tt_bench_key {
    uint8_t len;
    char text[31]; /* NUL-terminated */
};

/* The key of id: the same bytes that tiercache makes of a type named TT_BENCH_KEY_TYPE and the part
 * tt_bench_key_part(k). */
void tt_bench_key_write(struct tt_bench_key *k, uint32_t id);
const char *tt_bench_key_part(const struct tt_bench_key *k);
uint32_t tt_bench_key_id(const struct tt_bench_key *k);

/* The value of id, of 8 bytes or more: the id, a pattern, the id's complement. The timed loops compare its beginning,
 * and make a value of another one by writing its two ends. */
void tt_bench_value_fill(unsigned char *out, size_t len, uint32_t id);
bool tt_bench_value_is_of(const void *data, size_t len, uint32_t id); /* all bytes */

/* Instead of a number of bytes: the value of each id has its own, from 8 to TT_BENCH_VALUE_MAX, evenly spread. */
#define TT_BENCH_ALL_SIZES 0

static inline size_t tt_bench_value_bytes(size_t bytes, uint32_t id)
{
    const uint64_t sizes = TT_BENCH_VALUE_MAX - 8 + 1;
    return bytes != TT_BENCH_ALL_SIZES ? bytes : 8 + (size_t)((id * UINT32_C(2654435769)) * sizes >> 32);
}

static inline size_t tt_bench_value_most(size_t bytes)
{
    return bytes != TT_BENCH_ALL_SIZES ? bytes : TT_BENCH_VALUE_MAX;
}

static inline bool tt_bench_value_begins_with(const void *data, uint32_t id)
{
    return memcmp(data, &id, sizeof id) == 0;
}

static inline unsigned char tt_bench_pattern(size_t i)
{
    return (unsigned char)(i * 7u + 1);
}

static inline void tt_bench_value_mark(unsigned char *value, size_t len, uint32_t id)
{
    uint32_t end = ~id;
    memcpy(value, &id, sizeof id);
    memcpy(value + len - sizeof end, &end, sizeof end);
}

/* Puts the pattern back, for a longer value. */
static inline void tt_bench_value_unmark(unsigned char *value, size_t len)
{
    for (size_t i = len - sizeof(uint32_t); i < len; i++)
        value[i] = tt_bench_pattern(i);
}

/* n ids below n_keys, drawn by a Zipf law of exponent theta (0: uniform; TT_BENCH_HOT: the most popular id, always);
 * the popular ids lie scattered. The same seed gives the same sequence. NULL when out of memory; free() it. */
#define TT_BENCH_HOT (-1.0)
uint32_t *tt_bench_sequence_make(size_t n, uint32_t n_keys, double theta, uint64_t seed);

#endif
