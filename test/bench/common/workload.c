/* Keys, values and pre-generated sequences.
 *
 * Everything is made before the clock starts, so that a timed loop contains the cache and nothing else. The Zipf draw
 * inverts the exact cumulative distribution by binary search: slow, and without the bias of the usual
 * approximations. */
#include "workload.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tt_bench_key_write(struct tt_bench_key *k, uint32_t id)
{
    int width = 11 + (int)(id % 9);
    k->len = (uint8_t)snprintf(k->text, sizeof k->text, TT_BENCH_KEY_TYPE ":%0*u", width, (unsigned)id);
}

const char *tt_bench_key_part(const struct tt_bench_key *k)
{
    return k->text + sizeof TT_BENCH_KEY_TYPE;
}

uint32_t tt_bench_key_id(const struct tt_bench_key *k)
{
    return (uint32_t)strtoul(tt_bench_key_part(k), NULL, 10);
}

void tt_bench_value_fill(unsigned char *out, size_t len, uint32_t id)
{
    for (size_t i = 0; i < len; i++)
        out[i] = tt_bench_pattern(i);
    tt_bench_value_mark(out, len, id);
}

bool tt_bench_value_is_of(const void *data, size_t len, uint32_t id)
{
    unsigned char want[TT_BENCH_VALUE_MAX];
    if (len > sizeof want)
        return false;
    tt_bench_value_fill(want, len, id);
    return memcmp(data, want, len) == 0;
}

/* splitmix64 */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static double random_unit(uint64_t *state)
{
    return (double)(random_next(state) >> 11) * 0x1p-53;
}

static double *cumulative_make(uint32_t n_keys, double theta)
{
    double *cum = malloc(n_keys * sizeof *cum);
    double sum = 0;
    for (uint32_t i = 0; cum != NULL && i < n_keys; i++) {
        sum += pow((double)i + 1, -theta);
        cum[i] = sum;
    }
    return cum;
}

static uint32_t rank_of(const double *cum, uint32_t n_keys, double u)
{
    double want = u * cum[n_keys - 1];
    uint32_t lo = 0;
    uint32_t hi = n_keys - 1;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (cum[mid] > want)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

static uint32_t draw(const double *cum, uint32_t n_keys, double theta, uint64_t *state)
{
    if (theta < 0)
        return 0;
    return cum != NULL ? rank_of(cum, n_keys, random_unit(state)) : (uint32_t)(random_next(state) % n_keys);
}

uint32_t *tt_bench_sequence_make(size_t n, uint32_t n_keys, double theta, uint64_t seed)
{
    /* A prime above every n_keys in use: multiplying by it permutes the ranks modulo n_keys. */
    const uint64_t scatter = UINT64_C(2654435761);
    uint32_t *ids = malloc(n * sizeof *ids);
    double *cum = theta > 0 ? cumulative_make(n_keys, theta) : NULL;
    if (ids == NULL || (theta > 0 && cum == NULL)) {
        free(ids);
        free(cum);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        ids[i] = (uint32_t)((draw(cum, n_keys, theta, &seed) + 1) * scatter % n_keys);
    free(cum);
    return ids;
}
