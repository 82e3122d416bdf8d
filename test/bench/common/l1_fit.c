/* Filling a cache, and finding the limit under which it holds as many entries as a benchmark wants. */
#include "l1_fit.h"

#include "l1.h"
#include "report.h"

void tt_l1_fill(struct cache *c, struct cache_type *t, uint32_t n_keys, size_t value_bytes)
{
    struct tt_bench_key k;
    struct cache_key ck;
    unsigned char v[TT_BENCH_VALUE_MAX];
    for (uint32_t i = 0; i < n_keys; i++) {
        uint32_t id = (uint32_t)(i * UINT64_C(2654435761) % n_keys);
        tt_bench_key_write(&k, id);
        cache_key_str(cache_key_init(&ck, t), tt_bench_key_part(&k));
        size_t len = tt_bench_value_bytes(value_bytes, id);
        tt_bench_value_fill(v, len, id);
        if (cache_set(c, &ck, v, len, NULL) != CACHE_OK)
            tt_bench_die("filling tiercache with %s failed", k.text);
    }
}

static uint64_t entries_under(uint64_t l1_bytes, uint32_t n_keys, size_t value_bytes)
{
    struct cache_type *t = NULL;
    struct cache *c = tt_l1_open_cache(l1_bytes, 0, &t);
    tt_l1_fill(c, t, n_keys, value_bytes);
    uint64_t n = tt_l1_entries(c);
    if (cache_close(c, 1000) != CACHE_OK)
        tt_bench_die("cache_close failed");
    return n;
}

uint64_t tt_l1_fit(uint32_t n_wanted, size_t value_bytes)
{
    /* Below: not even the values would fit. Above: twice as much as any entry should need. */
    uint64_t lo = (uint64_t)n_wanted * value_bytes;
    uint64_t hi = (uint64_t)n_wanted * (tt_bench_value_most(value_bytes) + 384) + (1u << 20);
    uint64_t best = lo;
    uint64_t best_off = UINT64_MAX;
    for (unsigned i = 0; i < 16 && lo < hi; i++) {
        uint64_t mid = lo + (hi - lo) / 2;
        uint64_t n = entries_under(mid, 3 * n_wanted, value_bytes);
        uint64_t off = n > n_wanted ? n - n_wanted : n_wanted - n;
        if (off < best_off) {
            best = mid;
            best_off = off;
        }
        if (off <= n_wanted / 100)
            break;
        if (n < n_wanted)
            lo = mid + 1;
        else
            hi = mid;
    }
    return best;
}
